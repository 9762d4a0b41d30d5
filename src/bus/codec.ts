// Encodes payloads and envelopes as JSON, and decodes received envelopes. A payload is serialised once, at publish, which
// also checks its size. Received text is untrusted until decoded: it can have any content, size and depth.

import { parse, stringify } from '../base/json.ts'
import { ByreError, describeProblems, describeThrown } from '../base/errors.ts'
import type { Problem } from '../base/errors.ts'
import { formatMegabytes } from '../base/bytes.ts'
import { isRecord } from '../base/check.ts'
import { checkTopic } from '../base/topics.ts'
import type { Json } from '../base/json.ts'
import type { Envelope } from './bus.ts'

/** Deepest nesting of arrays and objects in a payload. A recursive consumer, JSON.stringify included, overflows the stack
 *  on values nested more than a few thousand levels. */
export const MAX_DEPTH = 512
/** Longest `id`, `type`, `headers.traceparent`, `replyTo` and `inReplyTo`, in characters. */
export const MAX_FIELD_LENGTH = 256
/** Maximum number of characters an envelope adds to its payload: five fields of MAX_FIELD_LENGTH, all escaped, and the keys. */
const ENVELOPE_OVERHEAD = 8192
/** The envelope version that this version of byre writes and reads. */
const ENVELOPE_VERSION = 1

/** The fields of an envelope before encoding; `body` is the serialised payload. */
export interface EnvelopeParts {
  readonly id: string
  readonly ts: number
  readonly body: string
  readonly type?: string | undefined
  readonly replyTo?: string | undefined
  /** In a reply: the `id` of the request, where the replies to many requests share one topic. */
  readonly inReplyTo?: string | undefined
  readonly traceparent?: string | undefined
}

/**
 * Encodes a payload as JSON text by the rules of JSON.stringify (a function or undefined inside an object is omitted, NaN
 * becomes null, toJSON is called). Throws BYRE_BUS_PAYLOAD_INVALID when it is not JSON (undefined, a function, a BigInt, a
 * cycle, a throwing toJSON) or nests deeper than MAX_DEPTH, BYRE_BUS_PAYLOAD_TOO_LARGE when the text has more than
 * `limitBytes` bytes of UTF-8. `topic` only appears in error messages.
 */
export function encodePayload(payload: unknown, limitBytes: number, topic: string): string {
  let body: string | undefined
  try {
    body = stringify(payload)
  } catch (error) {
    throw invalidPayload(topic, describeThrown(error).message.split('\n', 1)[0] ?? '', error)
  }
  if (body === undefined) throw invalidPayload(topic, `got ${typeof payload}`)
  if (body.length * 3 > limitBytes) assertSize(body, limitBytes, topic)
  if (body.length > 2 * MAX_DEPTH && nestsDeeper(body, MAX_DEPTH))
    throw invalidPayload(topic, `it nests deeper than ${MAX_DEPTH} levels`)
  return body
}

/** Encodes an envelope as one line of JSON. The payload's text is copied unchanged. */
export function encodeEnvelope(parts: EnvelopeParts): string {
  let text = `{"v":${ENVELOPE_VERSION},"id":${stringify(parts.id)}`
  if (parts.type !== undefined) text += `,"type":${stringify(parts.type)}`
  text += `,"ts":${parts.ts},"payload":${parts.body}`
  if (parts.replyTo !== undefined) text += `,"replyTo":${stringify(parts.replyTo)}`
  if (parts.inReplyTo !== undefined) text += `,"inReplyTo":${stringify(parts.inReplyTo)}`
  if (parts.traceparent !== undefined) text += `,"headers":{"traceparent":${stringify(parts.traceparent)}}`
  return `${text}}`
}

/**
 * Decodes the envelope in `text`. Throws BYRE_CODEC_INVALID, which lists all problems. Unknown keys are dropped (a later
 * minor version may add some); another `v` is refused. Inherited properties are ignored: a key `__proto__` is an unknown
 * key in the envelope and a plain own key in the payload. `limitBytes` bounds the payload: a text longer than that plus
 * ENVELOPE_OVERHEAD is refused without parsing.
 */
export function decodeEnvelope(text: unknown, limitBytes: number): Envelope {
  const value = parseBounded(text, limitBytes)
  if (isPlain(value)) return { v: ENVELOPE_VERSION, id: value.id, ts: value.ts, payload: value.payload }
  if (!isRecord(value))
    throw invalidEnvelope([{ path: '', message: `must be an object, got ${nameOf(value)}` }])
  const version = own(value, 'v')
  if (version !== ENVELOPE_VERSION) throw invalidEnvelope([versionProblem(version)])
  const problems = [
    ...checkField(value, 'id', true),
    ...checkField(value, 'type', false),
    ...checkStamp(value),
    ...checkField(value, 'replyTo', false, checkTopic),
    ...checkField(value, 'inReplyTo', false),
    ...checkHeaders(value),
    ...(Object.hasOwn(value, 'payload') ? [] : [{ path: 'payload', message: 'is missing' }]),
  ]
  if (problems.length > 0) throw invalidEnvelope(problems)
  return pick(value)
}

/** Whether it is a valid envelope with only the required fields, as most are. This check allocates little. */
function isPlain(value: unknown): value is Envelope {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { v, id, ts } = value as Partial<Envelope>
  return (
    v === ENVELOPE_VERSION &&
    typeof id === 'string' &&
    id !== '' &&
    id.length <= MAX_FIELD_LENGTH &&
    typeof ts === 'number' &&
    ts >= 0 &&
    ts < Infinity &&
    hasRequiredOnly(value)
  )
}

function hasRequiredOnly(value: object): boolean {
  const keys = Object.keys(value)
  return keys.length === REQUIRED.length && REQUIRED.every((key) => keys.includes(key))
}

const REQUIRED: readonly string[] = ['v', 'id', 'ts', 'payload']

/** Returns why `value` cannot be the `type` or `traceparent` of a message, or undefined when it can. */
export function checkText(value: unknown): string | undefined {
  if (typeof value !== 'string') return `must be a string, got ${nameOf(value)}`
  if (value === '') return 'must not be empty'
  if (value.length > MAX_FIELD_LENGTH)
    return `must have at most ${MAX_FIELD_LENGTH} characters, got ${value.length}`
  return undefined
}

/** Whether JSON text nests arrays and objects more than `levels` deep. One linear scan that stops early. */
export function nestsDeeper(json: string, levels: number): boolean {
  let depth = 0
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === QUOTE) i = stringEnd(json, i)
    else if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
      if (++depth > levels) return true
    } else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth--
  }
  return false
}

const QUOTE = 34
const BACKSLASH = 92
const OPEN_ARRAY = 91
const CLOSE_ARRAY = 93
const OPEN_OBJECT = 123
const CLOSE_OBJECT = 125

/** Index of the quote that closes the string opened at `from`, or the length of the text when none does. */
function stringEnd(json: string, from: number): number {
  for (let i = from + 1; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === BACKSLASH) i++
    else if (code === QUOTE) return i
  }
  return json.length
}

function assertSize(body: string, limitBytes: number, topic: string): void {
  // a UTF-16 code unit is 1 to 3 bytes of UTF-8: a longer text than the limit need not be measured
  const bytes = body.length > limitBytes ? body.length : Buffer.byteLength(body)
  if (bytes <= limitBytes) return
  throw new ByreError(
    'BYRE_BUS_PAYLOAD_TOO_LARGE',
    `Cannot publish to '${topic}': a payload can have at most ${limitBytes} bytes of JSON, got ${bytes === body.length ? 'at least ' : ''}${bytes} (${formatMegabytes(bytes)}). ` +
      "Send a reference to the data instead, or raise 'limits.message' in the config.",
    { details: { topic, bytes, limitBytes } },
  )
}

function invalidPayload(topic: string, problem: string, cause?: unknown): ByreError {
  return new ByreError(
    'BYRE_BUS_PAYLOAD_INVALID',
    `Cannot publish to '${topic}': a payload must be JSON, ${problem}. Pass null, a boolean, a number, a string, or arrays and plain objects of them.`,
    { cause, details: { topic } },
  )
}

function parseBounded(text: unknown, limitBytes: number): unknown {
  const fail = (message: string): ByreError => invalidEnvelope([{ path: '', message }])
  if (typeof text !== 'string') throw fail(`must be text, got ${nameOf(text)}`)
  const limit = limitBytes + ENVELOPE_OVERHEAD
  if (text.length > limit) throw fail(`must have at most ${limit} characters, got ${text.length}`)
  if (text.length > 2 * MAX_DEPTH && nestsDeeper(text, MAX_DEPTH + 1))
    throw fail(`must not nest deeper than ${MAX_DEPTH} levels`)
  try {
    return parse(text)
  } catch (error) {
    throw fail(`must be JSON: ${describeThrown(error).message.slice(0, 200)}`)
  }
}

function versionProblem(version: unknown): Problem {
  const known = `this version of byre reads envelope version ${ENVELOPE_VERSION}`
  if (version === undefined) return { path: 'v', message: `is missing; ${known}` }
  const remedy = typeof version === 'number' && version > ENVELOPE_VERSION ? '; update byre on this side' : ''
  return { path: 'v', message: `${known}, got ${shown(version)}${remedy}` }
}

function checkField(
  value: Record<string, unknown>,
  key: string,
  required: boolean,
  rule?: (text: string) => string | undefined,
): Problem[] {
  if (!Object.hasOwn(value, key)) return required ? [{ path: key, message: 'is missing' }] : []
  const field = value[key]
  const message = checkText(field) ?? rule?.(field as string)
  return message === undefined ? [] : [{ path: key, message }]
}

function checkStamp(value: Record<string, unknown>): Problem[] {
  const ts = own(value, 'ts')
  if (typeof ts === 'number' && Number.isFinite(ts) && ts >= 0) return []
  return [{ path: 'ts', message: `must be milliseconds since the epoch, got ${shown(ts)}` }]
}

function checkHeaders(value: Record<string, unknown>): Problem[] {
  if (!Object.hasOwn(value, 'headers')) return []
  const headers = value['headers']
  if (!isRecord(headers)) return [{ path: 'headers', message: `must be an object, got ${nameOf(headers)}` }]
  return checkField(headers, 'traceparent', false).map((p) => ({ ...p, path: `headers.${p.path}` }))
}

/** Copies the known keys of a validated envelope into a new object. */
function pick(value: Record<string, unknown>): Envelope {
  const headers = own(value, 'headers') as Record<string, unknown> | undefined
  const traceparent = headers === undefined ? undefined : (own(headers, 'traceparent') as string | undefined)
  const type = own(value, 'type') as string | undefined
  const replyTo = own(value, 'replyTo') as string | undefined
  const inReplyTo = own(value, 'inReplyTo') as string | undefined
  return {
    v: ENVELOPE_VERSION,
    id: value['id'] as string,
    ...(type === undefined ? {} : { type }),
    ts: value['ts'] as number,
    payload: value['payload'] as Json,
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(inReplyTo === undefined ? {} : { inReplyTo }),
    ...(traceparent === undefined ? {} : { headers: { traceparent } }),
  }
}

function own(value: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined
}

function nameOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : value === undefined ? 'nothing' : `a ${typeof value}`
}

function shown(value: unknown): string {
  return typeof value === 'object' && value !== null ? nameOf(value) : String(stringify(value)).slice(0, 80)
}

function invalidEnvelope(problems: readonly Problem[]): ByreError {
  return new ByreError('BYRE_CODEC_INVALID', describeProblems('Cannot read a bus envelope', problems), {
    details: { problems },
  })
}
