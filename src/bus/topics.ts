// Validates topics and patterns with error codes, knows the reserved topics, and matches one pattern with one topic. The
// syntax rules are in base/topics.ts, because the config checks them as well.

import { ByreError } from '../base/errors.ts'
import { checkPattern, checkTopic, INBOX, isInbox } from '../base/topics.ts'

/** Throws BYRE_BUS_TOPIC_INVALID unless `topic` is a valid topic to publish to. */
export function assertTopic(topic: unknown): asserts topic is string {
  const problem = typeof topic === 'string' ? checkTopic(topic) : `it is ${kindOf(topic)}, not a string`
  if (problem !== undefined) throw invalid('publish to topic', topic, problem, 'a topic like orders.created')
}

/** Throws BYRE_BUS_TOPIC_INVALID for an invalid pattern, BYRE_BUS_TOPIC_RESERVED for reply topics. */
export function assertPattern(pattern: unknown): asserts pattern is string {
  const problem =
    typeof pattern === 'string' ? checkPattern(pattern) : `it is ${kindOf(pattern)}, not a string`
  if (problem !== undefined)
    throw invalid('subscribe to pattern', pattern, problem, 'a pattern like orders.* or orders.>')
  if (isInbox(pattern as string)) throw reserved('subscribe to', pattern as string)
}

/** Whether only byre publishes to `topic`: `system.>`, which workers can subscribe to, and the reply topics. */
export function isReserved(topic: string): boolean {
  return topic.startsWith('system.') || isInbox(topic)
}

/** BYRE_BUS_TOPIC_RESERVED for `verb` ('publish to', 'subscribe to') on `topic`. */
export function reserved(verb: string, topic: string): ByreError {
  const rule = isInbox(topic)
    ? `topics under '${INBOX}' carry replies to requests. Use request() and message.reply().`
    : `only byre publishes to 'system.>'. Use another first token; to control workers use 'byre start', 'byre stop' and the like.`
  return new ByreError('BYRE_BUS_TOPIC_RESERVED', `Cannot ${verb} '${topic}': ${rule}`, {
    details: { topic },
  })
}

/**
 * Whether `pattern` covers `topic` by NATS rules: `*` matches exactly one token, a final `>` one or more. Both must be
 * valid. One linear scan without allocation; for many patterns use PatternTrie.
 */
export function covers(pattern: string, topic: string): boolean {
  let p = 0
  let t = 0
  for (;;) {
    if (pattern.charCodeAt(p) === CODE_TAIL && p + 1 === pattern.length) return true
    const pEnd = tokenEnd(pattern, p)
    const tEnd = tokenEnd(topic, t)
    const star = pEnd === p + 1 && pattern.charCodeAt(p) === CODE_STAR
    if (!star && !(pEnd - p === tEnd - t && topic.startsWith(pattern.slice(p, pEnd), t))) return false
    if (pEnd === pattern.length || tEnd === topic.length)
      return pEnd === pattern.length && tEnd === topic.length
    p = pEnd + 1
    t = tEnd + 1
  }
}

const CODE_STAR = 42
const CODE_TAIL = 62

function tokenEnd(text: string, from: number): number {
  const dot = text.indexOf('.', from)
  return dot === -1 ? text.length : dot
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : typeof value
}

function invalid(verb: string, value: unknown, problem: string, example: string): ByreError {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : kindOf(value)
  return new ByreError(
    'BYRE_BUS_TOPIC_INVALID',
    `Cannot ${verb} ${shown}: ${problem}. Use dot-separated tokens, ${example}.`,
    { details: { topic: shown } },
  )
}
