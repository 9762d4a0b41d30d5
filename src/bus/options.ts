// What callers of the bus may ask for, checked and filled in: everything wrong with one call at once.

import { MAX_TIMER_MS } from '../base/clock.ts'
import { parseDurationMs } from '../base/durations.ts'
import { ByreError, describeProblems } from '../base/errors.ts'
import type { Problem } from '../base/errors.ts'
import type { OverflowPolicy, PublishOptions, RequestOptions, SubscribeOptions } from './bus.ts'
import { checkText } from './codec.ts'

/** Most messages a subscription may hold for a slow consumer. */
export const MAX_BUFFER = 1_000_000
/** How long `request` waits unless told otherwise, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 5000

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
  const problems: Problem[] = []
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

/** Throws BYRE_ARGUMENT_INVALID unless `type` and `traceparent` are short texts. */
export function assertPublishOptions(topic: string, options: PublishOptions): void {
  refuse(`Cannot publish to '${topic}'`, publishProblems(options))
}

/** The timeout in milliseconds. Throws BYRE_ARGUMENT_INVALID. */
export function resolveRequestOptions(topic: string, options: RequestOptions | undefined): number {
  const { timeout = DEFAULT_TIMEOUT_MS, signal } = options ?? {}
  const timeoutMs = typeof timeout === 'string' ? parseDurationMs(timeout) : timeout
  const problems = [...publishProblems(options ?? {}), ...checkSignal(signal)]
  const valid = typeof timeoutMs === 'number' && timeoutMs >= 1 && timeoutMs <= MAX_TIMER_MS
  if (!valid) {
    const message = `must be 1 to ${MAX_TIMER_MS} milliseconds or a duration like '5s', got ${shown(timeout)}`
    problems.push({ path: 'timeout', message })
  }
  refuse(`Cannot request '${topic}'`, problems)
  return timeoutMs as number
}

const POLICIES: readonly OverflowPolicy[] = ['drop-oldest', 'drop-newest', 'fail']

function publishProblems(options: PublishOptions): Problem[] {
  const { type, headers } = options
  const traceparent: unknown = headers?.traceparent
  return [
    { path: 'type', message: type === undefined ? undefined : checkText(type) },
    { path: 'headers.traceparent', message: traceparent === undefined ? undefined : checkText(traceparent) },
  ].filter((p): p is Problem => p.message !== undefined)
}

export function checkSignal(signal: AbortSignal | undefined): Problem[] {
  if (signal === undefined || signal instanceof AbortSignal) return []
  return [{ path: 'signal', message: `must be an AbortSignal, got ${shown(signal)}` }]
}

export function refuse(subject: string, problems: readonly Problem[]): void {
  if (problems.length === 0) return
  throw new ByreError('BYRE_ARGUMENT_INVALID', describeProblems(subject, problems), { details: { problems } })
}

export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
