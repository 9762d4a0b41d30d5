// Starts one audited child: clean environment, fixed flags, the job in a file, the result on fd 3.

import { writeFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ByreError } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import { CLEAN_PATH, spawnClean } from '../measure/spawn-clean.ts'
import { CHILD_PROTOCOL, type ChildJob, type ChildResult } from './child/job.ts'

/** `plain` is the program started normally; in `calibrated` everything that makes two runs differ is fixed. */
export type ChildMode = 'plain' | 'calibrated'

export interface ChildRun {
  readonly mode: ChildMode
  /** Path of the node binary. */
  readonly nodePath: string
  readonly job: Omit<ChildJob, 'protocol'>
  /** Folder for job files; owned by the caller. */
  readonly folder: string
  readonly cwd: string
  /** Environment of the program; PATH and HOME are always set. */
  readonly env: Readonly<Record<string, string>>
  /** Additional V8 or Node flags. */
  readonly nodeArguments: readonly string[]
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

const CALIBRATED_FLAGS = [
  '--single-threaded',
  '--random-seed=1',
  '--hash-seed=1',
  '--expose-gc',
  '--max-semi-space-size=1',
  '--min-semi-space-size=1',
  '--no-warnings',
  '--expose-internals',
  // V8 flushes bytecode by age, at a moment that depends on everything before: the loader's own code comes and goes
  // (700 KiB on Node 24) and is charged to the module that runs then. A floor is read before the age is reached.
  '--no-flush-bytecode',
  // Node compiles a file without a package type twice to detect its module system. V8's cache then keeps the first copy
  // of the source unless a collection runs in between, as it does with the probe and does not without it (1 MiB of
  // lodash on Node 24).
  '--no-compilation-cache',
  // With inline allocation V8 reserves up to a page (256 KiB) of the old space at once, at unpredictable moments, and
  // counts all of it as used: the reading is too high, and later allocations in it are not seen. Without it each object
  // counts when it is created, and the probe of a large program needs 150 collections instead of 1400 (typeorm and
  // three more, Node 20).
  '--no-inline-new',
]
const CALIBRATED_ENV = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '131072',
  MALLOC_TRIM_THRESHOLD_: '131072',
}
const MAX_STDERR = 16 * 1024
const MAX_RESULT = 64 * 1024 * 1024

let sequence = 0

/** Runs the child until it exits. Rejects with BYRE_AUDIT_CHILD when it returned no result, with the signal's reason
 *  when aborted. An error of the audited program is part of the result. */
export async function runChild(run: ChildRun): Promise<ChildResult> {
  run.signal.throwIfAborted()
  const jobPath = join(run.folder, `job-${process.pid}-${++sequence}.json`)
  await writeFile(jobPath, JSON.stringify({ protocol: CHILD_PROTOCOL, ...run.job }))
  try {
    return await start(run, jobPath)
  } finally {
    await rm(jobPath, { force: true })
  }
}

/** The command line of a child, without its environment. */
function commandOf(run: ChildRun, jobPath: string): readonly string[] {
  const calibrated = run.mode === 'calibrated'
  return [
    ...(calibrated ? ['setarch', '-R'] : []),
    run.nodePath,
    ...(calibrated ? CALIBRATED_FLAGS : []),
    ...run.nodeArguments,
    fileURLToPath(ownFile('audit/child/main.js')),
    jobPath,
  ]
}

function start(run: ChildRun, jobPath: string): Promise<ChildResult> {
  const env = {
    PATH: process.env['PATH'] ?? CLEAN_PATH,
    HOME: process.env['HOME'] ?? '/',
    ...(run.mode === 'calibrated' ? CALIBRATED_ENV : {}),
    ...run.env,
  }
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', 'ignore', 'pipe', 'pipe'] as const
    const child = spawnClean(commandOf(run, jobPath), { env, cwd: run.cwd, stdio: [...stdio] })
    let stderr = ''
    let resultText = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), run.timeoutMs)
    const abort = (): void => void child.kill('SIGKILL')
    run.signal.addEventListener('abort', abort)
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      stderr = (stderr + chunk).slice(-MAX_STDERR)
    })
    const pipe = child.stdio[3] as NodeJS.ReadableStream
    pipe.setEncoding('utf8').on('data', (chunk: string) => {
      if (resultText.length < MAX_RESULT) resultText += chunk
    })
    const end = (fn: () => void): void => {
      clearTimeout(timer)
      run.signal.removeEventListener('abort', abort)
      fn()
    }
    child.on('error', (cause) =>
      end(() => reject(childError(run, `it did not start: ${cause.message}`, cause))),
    )
    child.on('close', (code, signal) =>
      end(() => {
        if (run.signal.aborted) reject(run.signal.reason as Error)
        else {
          const result = parseResult(resultText)
          if (result !== undefined) resolve(result)
          else reject(childError(run, describeEnd(code, signal, stderr, run.timeoutMs)))
        }
      }),
    )
  })
}

function parseResult(text: string): ChildResult | undefined {
  try {
    const result = JSON.parse(text) as ChildResult
    return result.protocol === CHILD_PROTOCOL ? result : undefined
  } catch {
    return undefined
  }
}

function describeEnd(
  code: number | null,
  signal: NodeJS.Signals | null,
  stderr: string,
  timeoutMs: number,
): string {
  const end = signal === null ? `it exited with code ${code}` : `it was killed by ${signal}`
  const late = signal === 'SIGKILL' ? ` (the time limit is ${timeoutMs} ms)` : ''
  return `${end}${late}${stderr === '' ? '' : `; stderr: ${stderr.trim()}`}`
}

function childError(run: ChildRun, what: string, cause?: unknown): ByreError {
  const subject = run.job.entries.map((e) => e.url).join(', ')
  return new ByreError(
    'BYRE_AUDIT_CHILD',
    `Cannot audit '${subject}': the audited child returned no result: ${what}. Run the entry with plain node first.`,
    { cause },
  )
}
