// Topics and patterns as the bus uses them: refusal with a code, the reserved names, and the match of one pattern
// with one topic. The spelling rules themselves are in base/topics.ts, because the config checks them too.

import { ByreError } from '../base/errors.ts'
import { checkPattern, checkTopic, INBOX, isInbox } from '../base/topics.ts'

/** Throws BYRE_BUS_TOPIC_INVALID unless `topic` is a topic one can publish to. */
export function assertTopic(topic: unknown): asserts topic is string {
  const problem = typeof topic === 'string' ? checkTopic(topic) : `it is ${kindOf(topic)}, not a string`
  if (problem !== undefined) throw invalid('publish to topic', topic, problem, 'a topic like orders.created')
}

/** Throws BYRE_BUS_TOPIC_INVALID unless `pattern` is well formed, BYRE_BUS_TOPIC_RESERVED for reply topics. */
export function assertPattern(pattern: unknown): asserts pattern is string {
  const problem =
    typeof pattern === 'string' ? checkPattern(pattern) : `it is ${kindOf(pattern)}, not a string`
  if (problem !== undefined)
    throw invalid('subscribe to pattern', pattern, problem, 'a pattern like orders.* or orders.>')
  if (isInbox(pattern as string)) throw reserved('subscribe to', pattern as string)
}

/** Topics only byre itself publishes to: `system.>`, which workers may subscribe to, and the reply topics. */
export function isReserved(topic: string): boolean {
  return topic.startsWith('system.') || isInbox(topic)
}

/** BYRE_BUS_TOPIC_RESERVED for `verb` ('publish to', 'subscribe to') on `topic`. */
export function reserved(verb: string, topic: string): ByreError {
  const rule = isInbox(topic)
    ? `'${INBOX}' carries the replies of requests. Use request() and message.reply().`
    : `'system.>' is published by byre alone. Choose another first token; control goes through 'byre start', 'byre stop' and the like.`
  return new ByreError('BYRE_BUS_TOPIC_RESERVED', `Cannot ${verb} '${topic}': ${rule}`, {
    details: { topic },
  })
}

/**
 * Whether `pattern` covers `topic` by NATS rules: `*` is exactly one token, a last `>` is one or more. Both must be
 * well formed. One linear walk, no allocation; for many patterns at once use PatternTrie.
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
