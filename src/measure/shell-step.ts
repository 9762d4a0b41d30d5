// `--prepare` and `--cleanup`: runs a shell line before or after a run, unmeasured, with its output in the same log.

import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'

export interface ShellOptions {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly logPath?: string
  /** Aborting it sends SIGKILL to the process group. */
  readonly signal: AbortSignal
}

/** Resolves with why `line` failed, or undefined when it exited 0. Kills the rest of its process group. */
export async function runShellStep(line: string, options: ShellOptions): Promise<string | undefined> {
  const fd = openLog(options.logPath)
  const child = spawn('/bin/sh', ['-c', line], {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', fd ?? 'ignore', fd ?? 'ignore'],
    detached: true, // in a separate process group, which can be killed as a whole
  })
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it has already ended
    }
  }
  options.signal.addEventListener('abort', kill, { once: true })
  try {
    return await new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('close', (code, signal) =>
        resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}`),
      )
    })
  } finally {
    options.signal.removeEventListener('abort', kill)
    kill()
    if (fd !== undefined) closeSync(fd)
  }
}

function openLog(path: string | undefined): number | undefined {
  if (path === undefined) return undefined
  try {
    mkdirSync(dirname(path), { recursive: true })
    return openSync(path, 'a')
  } catch {
    return undefined // the run reports the missing log
  }
}
