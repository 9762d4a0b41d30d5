// Children that see nothing of the environment of the tests. A test runner with a loader hook, as tap's command line, puts
// it into NODE_OPTIONS of every child, also of one with an explicit `env`, which adds 16 MB to each of them;
// `/usr/bin/env -i` (same pid after exec) undoes that.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { nextEvent, readLines, WAIT_MS, within } from './events.ts'
import type { Lines } from './events.ts'

export interface CleanOptions {
  /** The whole environment of the child besides PATH. @default {} */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Put before node: ['setarch', '-R'], ['nice'], a wrapper. @default [] */
  readonly prefix?: readonly string[]
  /** As in node:child_process. @default three pipes */
  readonly stdio?: ('pipe' | 'ignore' | 'inherit' | 'ipc' | number)[]
  /** @default process.execPath, so that a version matrix tests the version it runs on */
  readonly node?: string
}

export const CLEAN_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Starts `node ...args` with exactly PATH and `env`. Who starts it ends it (leakGuard fails otherwise). */
export function cleanNode(args: readonly string[], options: CleanOptions = {}): ChildProcess {
  const env = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`)
  const command = [...(options.prefix ?? []), options.node ?? process.execPath, ...args]
  return spawn('/usr/bin/env', ['-i', `PATH=${CLEAN_PATH}`, ...env, ...command], {
    stdio: options.stdio ?? ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
}

export interface CleanResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a clean node to its end. Kills it and rejects after `timeoutMs`. */
export async function runCleanNode(
  args: readonly string[],
  options: CleanOptions & { readonly timeoutMs?: number } = {},
): Promise<CleanResult> {
  const { timeoutMs = WAIT_MS, ...rest } = options
  const child = cleanNode(args, { ...rest, stdio: ['ignore', 'pipe', 'pipe'] })
  const [stdout, stderr] = [text(child, 'stdout'), text(child, 'stderr')]
  try {
    const [code, signal] = (await nextEvent(child, 'close', timeoutMs)) as [
      number | null,
      NodeJS.Signals | null,
    ]
    return { code, signal, stdout: stdout(), stderr: stderr() }
  } catch (error) {
    child.kill('SIGKILL')
    await within(exited(child), 'the end of a killed child')
    throw new Error(`${String(error)}; stdout: ${stdout()}; stderr: ${stderr()}`, { cause: error })
  }
}

function text(child: ChildProcess, name: 'stdout' | 'stderr'): () => string {
  let all = ''
  child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
    all += chunk
  })
  return () => all
}

export interface RunningNode {
  readonly child: ChildProcess
  readonly pid: number
  readonly stdout: Lines
  readonly stderr: Lines
  /** Resolves with code and signal; never rejects. */
  readonly exit: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  /** SIGKILL when it still runs, then waits for the end. For teardowns. */
  kill(): Promise<void>
}

/** A clean node that keeps running, read line by line. */
export function startCleanNode(args: readonly string[], options: CleanOptions = {}): RunningNode {
  const child = cleanNode(args, { ...options, stdio: options.stdio ?? ['ignore', 'pipe', 'pipe'] })
  if (child.pid === undefined || child.stdout === null || child.stderr === null)
    throw new Error('cannot start a clean node with piped stdout and stderr')
  const exit = exited(child)
  return {
    child,
    pid: child.pid,
    stdout: readLines(child.stdout),
    stderr: readLines(child.stderr),
    exit,
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await within(exit, `the end of the killed child ${child.pid}`)
    },
  }
}

function exited(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  if (child.exitCode !== null || child.signalCode !== null)
    return Promise.resolve({ code: child.exitCode, signal: child.signalCode })
  return new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
}
