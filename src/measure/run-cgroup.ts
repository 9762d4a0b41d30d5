// Chooses the cgroup of a run: a new one, one in a scope from systemd-run, or none, and records how it was obtained.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ByreError } from '../base/errors.ts'
import type { Launched } from './launcher.ts'
import { launch, launcherMissing } from './launcher.ts'
import type { CgroupTry, MemoryCgroup } from './memory-cgroup.ts'
import { createMemoryCgroup, delegatedCgroup } from './memory-cgroup.ts'

export interface RunCgroup {
  readonly cgroup: MemoryCgroup | undefined
  /** How the cgroup was obtained, or why there is none. */
  readonly way: string
  /** Starts the launcher, or returns the one that already waits in the scope. Call it at most once. */
  launch(): Promise<Launched>
  /** Ends a launcher that waits in a scope, if launch() was not called. */
  release(): void
}

interface RunCgroupOptions {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly scopes: boolean
  readonly useCgroup: boolean
}

let serial = 0

/** Throws BYRE_UNSUPPORTED when the launcher cannot run here. A missing cgroup is not an error: `way` has the reason. */
export async function acquireRunCgroup(
  command: readonly string[],
  options: RunCgroupOptions,
): Promise<RunCgroup> {
  const missing = launcherMissing()
  if (missing !== undefined)
    throw new ByreError('BYRE_UNSUPPORTED', `Cannot measure a command: ${missing}. Install perl-base.`)
  const name = `${++serial}`
  const own: CgroupTry = options.useCgroup
    ? createMemoryCgroup(name)
    : { ok: false, reason: 'disabled by --sampled' }
  const start = (): Promise<Launched> => launch(command, options)
  if (own.ok) return { cgroup: own.cgroup, way: own.way, launch: start, release: () => {} }
  if (!options.useCgroup || !options.scopes || !hasSystemd(options.env))
    return { cgroup: undefined, way: own.reason, launch: start, release: () => {} }
  return acquireInScope(command, options, name, own.reason)
}

/** A scope exists only while a process is in it, so the launcher starts before its cgroup is divided. */
async function acquireInScope(
  command: readonly string[],
  options: RunCgroupOptions,
  name: string,
  reason: string,
): Promise<RunCgroup> {
  const user = process.getuid?.() === 0 ? [] : ['--user']
  const prefix = ['systemd-run', ...user, '--scope', '--quiet', '--collect', '-p', 'Delegate=yes']
  let launched: Launched
  try {
    launched = await launch(command, { ...options, prefix })
  } catch (error) {
    const why = `${reason}; systemd-run failed to create a scope (${(error as Error).message.slice(0, 200)})`
    return { cgroup: undefined, way: why, launch: () => launch(command, options), release: () => {} }
  }
  const divided = delegatedCgroup(launched.launcherPid, name)
  let taken = false
  return {
    cgroup: divided.ok ? divided.cgroup : undefined,
    way: divided.ok
      ? `systemd-run ${user.join(' ')} --scope: ${divided.way}`
      : `${reason}; ${divided.reason}`,
    launch() {
      taken = true
      return Promise.resolve(launched)
    },
    release() {
      if (!taken) launched.kill()
    },
  }
}

function hasSystemd(env: NodeJS.ProcessEnv): boolean {
  const found = (env['PATH'] ?? '')
    .split(delimiter)
    .some((folder) => isExecutable(join(folder, 'systemd-run')))
  if (!found) return false
  // Without a service manager systemd-run hangs until its bus connection times out.
  return (
    isExecutable('/run/systemd/system') && (process.getuid?.() === 0 || env['XDG_RUNTIME_DIR'] !== undefined)
  )
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
