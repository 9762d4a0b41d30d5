// What crosses between a worker and a resource of the herd: JSON exactly. What JSON.stringify would change on the way (a
// Date, a Map, NaN, a function left out) is refused by name instead, so that what arrives has the type that was sent.

import { formatMegabytes } from '../base/bytes.ts'
import { isRecord } from '../base/check.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { ErrorCode } from '../base/errors.ts'
import { stringify } from '../base/json.ts'
import type { Json } from '../base/json.ts'
import { MAX_DEPTH } from '../bus/codec.ts'

/**
 * `value` as JSON text. `what` begins the message and `root` the path in it: "Cannot call 'list' of resource 'db'",
 * 'arguments'. Throws BYRE_RESOURCE_VALUE for what is no JSON, with its place, and BYRE_RESOURCE_TOO_LARGE for more than
 * `limitBytes` of UTF-8.
 */
export function encodeCrossing(value: unknown, what: string, root: string, limitBytes: number): string {
  const walk = { left: limitBytes }
  let misfit: Misfit | undefined
  try {
    misfit = misfitIn(value, 0, walk)
  } catch (error) {
    misfit = { path: '', is: `throws when read: ${describeThrown(error).message}` }
  }
  if (misfit !== undefined) throw notJson(what, root, misfit)
  const text = walk.left < 0 ? undefined : stringify(value)
  // a UTF-16 code unit is 1 to 3 bytes: most texts need no count
  if (text !== undefined && text.length * 3 <= limitBytes) return text
  const bytes = text === undefined ? limitBytes - walk.left : Buffer.byteLength(text)
  if (text !== undefined && bytes <= limitBytes) return text
  throw new ByreError(
    'BYRE_RESOURCE_TOO_LARGE',
    `${what}: ${root} may have ${limitBytes} bytes of JSON, got ${text === undefined ? 'at least ' : ''}${bytes} (${formatMegabytes(bytes)}). ` +
      "Pass it in parts, or raise 'limits.message' in the config.",
    { details: { bytes, limitBytes } },
  )
}

/** Where something stands that does not cross, and what it is. */
interface Misfit {
  readonly path: string
  readonly is: string
}

/** The first part of `value` that is no JSON. Ends early when it has more bytes than `walk.left`: one a part and one a
 *  character, at least. */
function misfitIn(value: unknown, depth: number, walk: { left: number }): Misfit | undefined {
  walk.left -= typeof value === 'string' ? value.length + 2 : 1
  if (walk.left < 0) return undefined
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return undefined
  if (typeof value === 'number')
    return Number.isFinite(value) ? undefined : { path: '', is: `is ${String(value)}` }
  if (typeof value !== 'object')
    return { path: '', is: value === undefined ? 'is undefined' : `is a ${typeof value}` }
  if (depth >= MAX_DEPTH) return { path: '', is: `nests deeper than ${MAX_DEPTH} levels, or contains itself` }
  if (Array.isArray(value)) {
    if (Object.getPrototypeOf(value) !== Array.prototype) return { path: '', is: `is ${kindOf(value)}` }
    if (hasToJson(value)) return HAS_TO_JSON
    for (let i = 0; i < value.length && walk.left >= 0; i++) {
      const found = misfitIn(value[i], depth + 1, walk)
      if (found !== undefined) return { path: `[${i}]${found.path}`, is: found.is }
    }
    return undefined
  }
  if (!isRecord(value)) return { path: '', is: `is ${kindOf(value)}` }
  if (hasToJson(value)) return HAS_TO_JSON
  for (const key of Object.keys(value)) {
    const member = value[key]
    if (member === undefined) continue
    walk.left -= key.length + 3
    if (walk.left < 0) return undefined
    const found = misfitIn(member, depth + 1, walk)
    if (found !== undefined) return { path: `.${key}${found.path}`, is: found.is }
  }
  return undefined
}

const HAS_TO_JSON: Misfit = { path: '', is: 'has a toJSON' }

/** JSON.stringify would send what it gives, also one that is not enumerable. */
function hasToJson(value: object): boolean {
  return typeof (value as { toJSON?: unknown }).toJSON === 'function'
}

function kindOf(value: object): string {
  const name: unknown = (value as { constructor?: { name?: unknown } }).constructor?.name
  return typeof name === 'string' && name !== '' ? `an instance of ${name.slice(0, 64)}` : 'no plain object'
}

const PATH_MAX = 200

function notJson(what: string, root: string, { path, is }: Misfit): ByreError {
  const place = `${root}${path}`
  const shown = place.length <= PATH_MAX ? place : `${place.slice(0, PATH_MAX)}...`
  return new ByreError(
    'BYRE_RESOURCE_VALUE',
    `${what}: ${shown} ${is}, and only JSON crosses. Pass null, booleans, finite numbers, strings, arrays and plain objects of them.`,
    { details: { path: shown } },
  )
}

/** What was thrown, as it crosses. */
export interface PackedThrown {
  readonly name: string
  readonly message: string
  readonly code?: string | number
  readonly cause?: string
}

export function packThrown(thrown: unknown): PackedThrown {
  const { type, message } = describeThrown(thrown)
  const name = thrown instanceof Error ? type : 'Error'
  return { name, message, ...codeOf(thrown), ...causeOf(thrown) }
}

export function unpackThrown(packed: Json): Error {
  const { name, message, code, cause } = packed as unknown as PackedThrown
  const options = cause === undefined ? {} : { cause }
  if (name === 'ByreError') return new ByreError(code as ErrorCode, message, options)
  const error = Object.assign(new Error(message, options), { name, ...(code === undefined ? {} : { code }) })
  const { stack } = error
  if (typeof stack === 'string' && stack.startsWith('Error')) error.stack = `${name}${stack.slice(5)}`
  return error
}

const CODE_MAX = 256

function codeOf(thrown: unknown): { code?: string | number } {
  const code = memberOf(thrown, 'code')
  if (typeof code === 'number' && Number.isFinite(code)) return { code }
  return typeof code === 'string' ? { code: code.slice(0, CODE_MAX) } : {}
}

function causeOf(thrown: unknown): { cause?: string } {
  const cause = memberOf(thrown, 'cause')
  if (cause === undefined) return {}
  const { type, message } = describeThrown(cause)
  return { cause: cause instanceof Error ? `${type}: ${message}` : message }
}

function memberOf(thrown: unknown, name: 'cause' | 'code'): unknown {
  try {
    return (thrown as Record<typeof name, unknown> | null | undefined)?.[name]
  } catch {
    return undefined // a getter that throws tells nothing
  }
}
