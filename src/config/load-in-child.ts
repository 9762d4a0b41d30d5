// Loads a config in a clean child process and receives the herd as JSON, for the reload on SIGHUP. Node cannot evaluate a
// module twice in one process, and a config that loops or crashes must not affect the running herd.

import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { isRecord } from '../base/check.ts'
import { type Timer, systemClock } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ByreError, type ErrorCode } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import { DEFAULT_EVALUATE_MS, loadError } from './load-error.ts'
import type { LoadOptions } from './load.ts'
import { redact } from './problems.ts'
import type { ResolvedHerd } from './types.ts'

export interface LoadInChildOptions extends LoadOptions {
  /** The child's environment; NODE_OPTIONS is removed. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Kills the child at once. The promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** Called once with the output of the config, at most the last 8 KiB, if there is any. */
  readonly onOutput?: (text: string) => void
}

/** The request to the child: its only argument. */
export interface ChildRequest {
  readonly file?: string
  readonly cwd: string
  readonly evaluateMs: number
}

/** The answer of the child: one line on fd 3. */
export type ChildAnswer =
  | { readonly ok: true; readonly herd: ResolvedHerd }
  | {
      readonly ok: false
      readonly code: ErrorCode
      readonly message: string
      readonly details?: Readonly<Record<string, unknown>>
    }

const MAX_ANSWER_BYTES = 64 * 1024 * 1024
const MAX_OUTPUT_BYTES = 8192
/** Time for start-up, validation and the answer, in addition to the config's own time. */
const OVERHEAD_MS = 10_000
/** How long to wait after the child's exit for an answer that is still in the pipe. */
const PIPE_DRAIN_MS = 500
/** Flags of this process that determine whether and how Node can read a config file. */
const KEPT_FLAGS = /^--(?:experimental-strip-types|experimental-transform-types|conditions=)/

/** Like loadHerd, in a child process. The child is killed when its answer exceeds 64 MiB or takes longer than `evaluateMs`
 *  + 10 s. */
export async function loadHerdInChild(options: LoadInChildOptions): Promise<ResolvedHerd> {
  options.signal?.throwIfAborted()
  const { spawn } = await import('node:child_process')
  const { NODE_OPTIONS: _, ...env } = options.env ?? process.env
  const { evaluateMs = DEFAULT_EVALUATE_MS } = options
  const request: ChildRequest = {
    cwd: options.cwd,
    evaluateMs,
    ...(options.file === undefined ? {} : { file: options.file }),
  }
  const flags = process.execArgv.filter((flag) => KEPT_FLAGS.test(flag))
  const child = spawn(
    process.execPath,
    [...flags, fileURLToPath(ownFile('config/evaluate.js')), JSON.stringify(request)],
    {
      cwd: options.cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    },
  )
  const answer = await answerOf(child, evaluateMs + OVERHEAD_MS, options)
  if (answer.ok) return answer.herd
  throw new ByreError(
    answer.code,
    answer.message,
    answer.details === undefined ? {} : { details: answer.details },
  )
}

function answerOf(child: ChildProcess, limitMs: number, options: LoadInChildOptions): Promise<ChildAnswer> {
  const { clock = systemClock, signal } = options
  const output = tail([child.stdout, child.stderr] as Readable[])
  const pipe = child.stdio[3] as Readable
  let onAbort = (): void => {}
  let timer: Timer | undefined
  let ended = false
  const settled = new Promise<ChildAnswer>((resolve, reject) => {
    const fail = (reason: string): void =>
      reject(
        loadError(
          options.file ?? options.cwd,
          `the child process that evaluates it ${reason}${quoteOutput(output())}`,
        ),
      )
    timer = clock.setTimer(limitMs, () =>
      fail(`did not answer within ${formatDurationMs(limitMs)} and was killed. Check for an endless loop`),
    )
    onAbort = () => reject(signal?.reason as Error)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort() // The abort may have come while node:child_process was loading.
    readAnswer(pipe, resolve, fail)
    child.once('error', (error) => fail(`cannot be started (${error.message})`))
    child.once('exit', (code, killedBy) => {
      if (ended) return
      const how = killedBy === null ? `exited with code ${code}` : `was killed by ${killedBy}`
      const over = (): void => fail(`${how} before it answered`)
      // The answer may still be in the pipe. A grandchild may keep the pipe open without limit.
      if (pipe.closed) over()
      else pipe.once('close', over)
      timer?.cancel()
      timer = clock.setTimer(PIPE_DRAIN_MS, over)
    })
  })
  return settled.finally(() => {
    ended = true
    timer?.cancel()
    signal?.removeEventListener('abort', onAbort)
    child.kill('SIGKILL')
    for (const stream of child.stdio) stream?.destroy()
    const text = output()
    if (text !== '') options.onOutput?.(text)
  })
}

/** Reads the answer, which ends with a newline. */
function readAnswer(
  pipe: Readable,
  done: (answer: ChildAnswer) => void,
  fail: (reason: string) => void,
): void {
  const chunks: Buffer[] = []
  let length = 0
  pipe.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) fail(`returned a herd of more than ${MAX_ANSWER_BYTES} bytes of JSON`)
    else if (chunk.at(-1) === 10) {
      const answer = parseAnswer(Buffer.concat(chunks).toString('utf8'))
      if (answer === undefined) fail('wrote data other than its answer to file descriptor 3')
      else done(answer)
    }
  })
}

function parseAnswer(line: string): ChildAnswer | undefined {
  try {
    const answer: unknown = JSON.parse(line)
    return isRecord(answer) && typeof answer['ok'] === 'boolean'
      ? (answer as unknown as ChildAnswer)
      : undefined
  } catch {
    return undefined
  }
}

/** Keeps the last MAX_OUTPUT_BYTES of all streams together. */
function tail(streams: readonly Readable[]): () => string {
  let kept = Buffer.alloc(0)
  for (const stream of streams) {
    stream.on('data', (chunk: Buffer) => {
      kept = Buffer.concat([kept, chunk]).subarray(-MAX_OUTPUT_BYTES)
    })
  }
  return () => kept.toString('utf8')
}

function quoteOutput(output: string): string {
  const text = redact(output.trim())
  return text === '' ? '' : `. Its output: ${text.slice(-1000)}`
}
