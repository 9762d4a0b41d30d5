// Validates the options of bus calls and fills in defaults. An error lists all problems of a call.

import { MAX_TIMER_MS } from '../base/clock.ts'
import { parseDurationMs } from '../base/durations.ts'
import { refuse } from '../base/errors.ts'
import type { Problem } from '../base/errors.ts'
import { unknownKeys } from '../base/suggest.ts'
import type {
  OverflowPolicy,
  PublishOptions,
  RequestOptions,
  SubscribeOptions,
  SystemPublishOptions,
} from './bus.ts'
import { checkText } from './codec.ts'

/** Largest buffer of a subscription, messages. */
const MAX_BUFFER = 1_000_000
/** Default timeout of a request, milliseconds. */
const DEFAULT_TIMEOUT_MS = 5000

export interface ResolvedSubscribeOptions {
  readonly signal: AbortSignal | undefined
  readonly buffer: number
  readonly overflow: OverflowPolicy
}

/** Throws BYRE_ARGUMENT_INVALID. `defaultBuffer` is the herd's limits.buffer. */
export function resolveSubscribeOptions(
  pattern: string,
  options: SubscribeOptions | undefined,
  defaultBuffer: number,
): ResolvedSubscribeOptions {
  const { signal, buffer = defaultBuffer, overflow = 'drop-oldest' } = options ?? {}
  const problems = unknownKeys(options, SUBSCRIBE_KEYS)
  if (!Number.isInteger(buffer) || buffer < 1 || buffer > MAX_BUFFER)
    problems.push({
      path: 'buffer',
      message: `must be an integer from 1 to ${MAX_BUFFER}, got ${shown(buffer)}`,
    })
  if (!POLICIES.includes(overflow))
    problems.push({
      path: 'overflow',
      message: `must be one of ${POLICIES.join(', ')}, got ${shown(overflow)}`,
    })
  problems.push(...checkSignal(signal))
  refuse(`Cannot subscribe to '${pattern}'`, problems)
  return { signal, buffer, overflow }
}

/** Throws BYRE_ARGUMENT_INVALID for a key other than `type` and `headers.traceparent`, or a value that is not a short text.
 *  @param system also allows the keys of publishSystem */
export function assertPublishOptions(topic: string, options: PublishOptions, system: boolean): void {
  refuse(`Cannot publish to '${topic}'`, publishProblems(options, system ? SYSTEM_KEYS : PUBLISH_KEYS))
}

/** Returns the options of a request that belong to its message; undefined when there are none. */
export function messageOptions(options: RequestOptions | undefined): PublishOptions | undefined {
  const { type, headers } = options ?? {}
  if (type === undefined && headers === undefined) return undefined
  return { ...(type === undefined ? {} : { type }), ...(headers === undefined ? {} : { headers }) }
}

/** Returns the timeout in milliseconds. Throws BYRE_ARGUMENT_INVALID. */
export function resolveRequestOptions(topic: string, options: RequestOptions | undefined): number {
  const { timeout = DEFAULT_TIMEOUT_MS, signal } = options ?? {}
  const timeoutMs = typeof timeout === 'string' ? parseDurationMs(timeout) : timeout
  const problems = [...publishProblems(options, REQUEST_KEYS), ...checkSignal(signal)]
  const valid = typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= MAX_TIMER_MS
  if (!valid) {
    const message = `must be 1 to ${MAX_TIMER_MS} milliseconds or a duration like '5s', got ${shown(timeout)}`
    problems.push({ path: 'timeout', message })
  }
  refuse(`Cannot request '${topic}'`, problems)
  return timeoutMs as number
}

/** The keys of T. The call does not compile when a key is missing or unknown. */
export function keysOf<T>(keys: Readonly<Record<keyof T, true>>): readonly string[] {
  return Object.keys(keys)
}

const SUBSCRIBE_KEYS = keysOf<SubscribeOptions>({ signal: true, buffer: true, overflow: true })
const PUBLISH_KEYS = keysOf<PublishOptions>({ type: true, headers: true })
const SYSTEM_KEYS = keysOf<SystemPublishOptions>({ type: true, headers: true, inReplyTo: true })
const HEADER_KEYS = keysOf<NonNullable<PublishOptions['headers']>>({ traceparent: true })
const REQUEST_KEYS = keysOf<RequestOptions>({ type: true, headers: true, timeout: true, signal: true })

const POLICIES: readonly OverflowPolicy[] = ['drop-oldest', 'drop-newest', 'fail']

function publishProblems(options: PublishOptions | undefined, keys: readonly string[]): Problem[] {
  const problems = unknownKeys(options, keys)
  const { type, headers } = options ?? {}
  const typeProblem = type === undefined ? undefined : checkText(type)
  if (typeProblem !== undefined) problems.push({ path: 'type', message: typeProblem })
  if (headers === undefined) return problems
  problems.push(...unknownKeys(headers, HEADER_KEYS, 'headers'))
  const traceparent: unknown = headers?.traceparent
  const traceProblem = traceparent === undefined ? undefined : checkText(traceparent)
  if (traceProblem !== undefined) problems.push({ path: 'headers.traceparent', message: traceProblem })
  return problems
}

export function checkSignal(signal: AbortSignal | undefined): Problem[] {
  if (signal === undefined || signal instanceof AbortSignal) return []
  return [{ path: 'signal', message: `must be an AbortSignal, got ${shown(signal)}` }]
}

export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
