// Loads a config in a clean child process and receives the herd as JSON: the reload of SIGHUP. A module cannot be
// evaluated twice in one process, and a config that loops or crashes must not take the running herd with it.

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
  /** The child's environment; NODE_OPTIONS is left out. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Ends the child at once; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** What the config printed, at most the last 8 KiB, once and only if there was something. */
  readonly onOutput?: (text: string) => void
}

/** What the child is told (its one argument). */
export interface ChildRequest {
  readonly file?: string
  readonly cwd: string
  readonly evaluateMs: number
}

/** What the child answers: one line on fd 3. */
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
/** For start-up, validation and the answer, on top of the config's own time. */
const OVERHEAD_MS = 10_000
/** How long after the child's end its answer is still waited for. */
const LAST_WORDS_MS = 500
/** Flags of this process that decide whether and how a config file can be read. */
const KEPT_FLAGS = /^--(?:experimental-strip-types|experimental-transform-types|conditions=)/

/** As loadHerd, in a child. The answer is bounded to 64 MiB, the time to `evaluateMs` + 10 s; then the child is killed. */
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
  const answer = await converse(child, evaluateMs + OVERHEAD_MS, options)
  if (answer.ok) return answer.herd
  throw new ByreError(
    answer.code,
    answer.message,
    answer.details === undefined ? {} : { details: answer.details },
  )
}

function converse(child: ChildProcess, limitMs: number, options: LoadInChildOptions): Promise<ChildAnswer> {
  const { clock = systemClock, signal } = options
  const output = tail([child.stdout, child.stderr] as Readable[])
  const pipe = child.stdio[3] as Readable
  let onAbort = (): void => {}
  let timer: Timer | undefined
  let ended = false
  const settled = new Promise<ChildAnswer>((resolve, reject) => {
    const fail = (reason: string): void =>
      reject(loadError(options.file ?? options.cwd, `the child that evaluates it ${reason}${said(output())}`))
    timer = clock.setTimer(limitMs, () =>
      fail(`did not answer within ${formatDurationMs(limitMs)} and was ended. Look for an endless loop`),
    )
    onAbort = () => reject(signal?.reason as Error)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted === true) onAbort() // it may have come while node:child_process was loading
    readAnswer(pipe, resolve, fail)
    child.once('error', (error) => fail(`cannot be started (${error.message})`))
    child.once('exit', (code, killedBy) => {
      if (ended) return
      const how = killedBy === null ? `exited with code ${code}` : `was killed by ${killedBy}`
      const over = (): void => fail(`${how} before it answered`)
      // What it wrote last may still be in the pipe; a grandchild may hold the pipe open for as long as it likes.
      if (pipe.closed) over()
      else pipe.once('close', over)
      timer?.cancel()
      timer = clock.setTimer(LAST_WORDS_MS, over)
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

/** The newline ends the answer. */
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
    if (length > MAX_ANSWER_BYTES) fail(`describes a herd of more than ${MAX_ANSWER_BYTES} bytes of JSON`)
    else if (chunk.at(-1) === 10) {
      const answer = parseAnswer(Buffer.concat(chunks).toString('utf8'))
      if (answer === undefined) fail('wrote something else than its answer to file descriptor 3')
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

/** Collects the last MAX_OUTPUT_BYTES of both streams. */
function tail(streams: readonly Readable[]): () => string {
  let kept = Buffer.alloc(0)
  for (const stream of streams) {
    stream.on('data', (chunk: Buffer) => {
      kept = Buffer.concat([kept, chunk]).subarray(-MAX_OUTPUT_BYTES)
    })
  }
  return () => kept.toString('utf8')
}

function said(output: string): string {
  const text = redact(output.trim())
  return text === '' ? '' : `. It said: ${text.slice(-1000)}`
}
