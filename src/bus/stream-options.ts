// Validates the options of durable-stream calls and fills in defaults. An error lists all problems of a call.

import { parseDurationMs } from '../base/durations.ts'
import { refuse } from '../base/errors.ts'
import type { Problem } from '../base/errors.ts'
import { unknownKeys } from '../base/suggest.ts'
import { checkTopic } from '../base/topics.ts'
import type { EnqueueOptions, NackOptions, StreamOptions } from './bus.ts'
import { checkText } from './codec.ts'
import { checkSignal, keysOf, shown } from './options.ts'

/** Maximum number of jobs in progress per reader. */
const MAX_CONCURRENCY = 1000
/** Longest delay of a job, milliseconds: 365 days. */
const MAX_DELAY_MS = 31_536_000_000
/** Longest reason of a nack, characters; the rest is cut off. */
const MAX_REASON_LENGTH = 1024

export interface ResolvedStreamOptions {
  readonly group: string
  readonly concurrency: number
  readonly maxDeliveries: number
  readonly claimAfterMs: number
  readonly signal: AbortSignal | undefined
}

/** Throws BYRE_ARGUMENT_INVALID. `owner` is the worker's name, which is the default group. */
export function resolveStreamOptions(
  stream: unknown,
  options: StreamOptions | undefined,
  owner: string,
): ResolvedStreamOptions {
  const {
    group = owner,
    concurrency = 1,
    maxDeliveries = 5,
    claimAfter = CLAIM_AFTER_MS,
    signal,
  } = options ?? {}
  const claimAfterMs = toMs(claimAfter)
  const problems = [...checkStream(stream), ...unknownKeys(options, STREAM_KEYS), ...checkSignal(signal)]
  const badGroup =
    typeof group === 'string' && /[\p{Cc}\p{Cs}\s]/u.test(group) ? 'has white space' : undefined
  const groupProblem = checkText(group) ?? badGroup
  if (groupProblem !== undefined) problems.push({ path: 'group', message: groupProblem })
  problems.push(...checkInteger('concurrency', concurrency, 1, MAX_CONCURRENCY))
  problems.push(...checkInteger('maxDeliveries', maxDeliveries, 1, 1_000_000))
  problems.push(...checkDuration('claimAfter', claimAfter, claimAfterMs, 1000, 86_400_000))
  refuse(`Cannot read stream '${String(stream)}'`, problems)
  return { group, concurrency, maxDeliveries, claimAfterMs: claimAfterMs as number, signal }
}

/** Default `claimAfter`: silence after which a reader counts as dead, milliseconds. */
export const CLAIM_AFTER_MS = 30_000

export interface ResolvedEnqueueOptions {
  readonly delayMs: number
  readonly dedupeId: string | undefined
}

/** Throws BYRE_ARGUMENT_INVALID. */
export function resolveEnqueueOptions(
  stream: unknown,
  options: EnqueueOptions | undefined,
): ResolvedEnqueueOptions {
  const { delay = 0, dedupeId } = options ?? {}
  const delayMs = toMs(delay)
  const problems = [
    ...checkStream(stream),
    ...unknownKeys(options, ENQUEUE_KEYS),
    ...checkDuration('delay', delay, delayMs, 0, MAX_DELAY_MS),
  ]
  const idProblem = dedupeId === undefined ? undefined : checkText(dedupeId)
  if (idProblem !== undefined) problems.push({ path: 'dedupeId', message: idProblem })
  refuse(`Cannot enqueue to stream '${String(stream)}'`, problems)
  return { delayMs: delayMs as number, dedupeId }
}

/** Throws BYRE_ARGUMENT_INVALID. */
export function resolveNackOptions(
  stream: string,
  options: NackOptions | undefined,
): { readonly delayMs: number; readonly reason: string } {
  const { delay = 0, reason = 'no reason given' } = options ?? {}
  const delayMs = toMs(delay)
  const problems = [
    ...unknownKeys(options, NACK_KEYS),
    ...checkDuration('delay', delay, delayMs, 0, MAX_DELAY_MS),
  ]
  if (typeof reason !== 'string')
    problems.push({ path: 'reason', message: `must be a string, got ${shown(reason)}` })
  refuse(`Cannot nack a job of stream '${stream}'`, problems)
  return { delayMs: delayMs as number, reason: reason.slice(0, MAX_REASON_LENGTH) }
}

const STREAM_KEYS = keysOf<StreamOptions>({
  group: true,
  concurrency: true,
  maxDeliveries: true,
  claimAfter: true,
  signal: true,
})
const ENQUEUE_KEYS = keysOf<EnqueueOptions>({ dedupeId: true, delay: true })
const NACK_KEYS = keysOf<NackOptions>({ delay: true, reason: true })

function checkStream(stream: unknown): Problem[] {
  const problem = typeof stream === 'string' ? checkTopic(stream) : `it is not a string, got ${shown(stream)}`
  return problem === undefined
    ? []
    : [{ path: 'stream', message: `must be a name such as 'mail': ${problem}` }]
}

function toMs(value: unknown): number | undefined {
  if (typeof value === 'string') return parseDurationMs(value)
  return typeof value === 'number' ? Math.round(value) : undefined
}

function checkDuration(
  path: string,
  given: unknown,
  ms: number | undefined,
  least: number,
  most: number,
): Problem[] {
  if (ms !== undefined && ms >= least && ms <= most) return []
  return [
    {
      path,
      message: `must be ${least} to ${most} milliseconds or a duration like '5s', got ${shown(given)}`,
    },
  ]
}

function checkInteger(path: string, value: unknown, least: number, most: number): Problem[] {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return []
  return [{ path, message: `must be an integer from ${least} to ${most}, got ${shown(value)}` }]
}
