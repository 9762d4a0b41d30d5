// The building blocks of the schema. valibot walks the structure, and the messages are byre's own: a leaf reports the
// expected and the actual value, and an object reports unknown keys with a suggestion.

import * as v from 'valibot'
import { parseBytes } from '../base/bytes.ts'
import { isRecord } from '../base/check.ts'
import { parseDurationMs } from '../base/durations.ts'
import { didYouMean } from '../base/suggest.ts'
import { MAX_LIST } from './defaults.ts'
import { kindOf, show } from './problems.ts'

/** A schema of T with unknown input. */
export type Field<T> = v.GenericSchema<unknown, T>

/** Returns the message for an invalid value, and undefined for a valid one. */
export type Reason = (value: unknown) => string | undefined

/** A value that is checked only by `reason`. */
export function leaf<T>(reason: Reason): Field<T> {
  return v.custom<T>(
    (value) => reason(value) === undefined,
    (issue) => reason(issue.input) ?? 'is invalid',
  ) as Field<T>
}

/** A string that is checked by `reason`. `wanted` describes the expected value when the input is not a string. */
export function text(wanted: string, reason: (value: string) => string | undefined): Field<string> {
  return leaf((value) =>
    typeof value === 'string' ? reason(value) : `must be ${wanted}, got ${show(value)}`,
  )
}

/** Like text(), for values that no message may quote. */
export function secretText(wanted: string, reason: (value: string) => string | undefined): Field<string> {
  return leaf((value) =>
    typeof value === 'string' ? reason(value) : `must be ${wanted}, got ${kindOf(value)}`,
  )
}

/** A path, an argument or a label: 1 to 4096 characters without control characters. */
export function line(wanted: string): Field<string> {
  return text(wanted, (value) => {
    if (value === '') return `must be ${wanted}, got an empty string`
    if (value.length > 4096) return `must be ${wanted} of at most 4096 characters, got ${value.length}`
    if (/\p{Cc}/u.test(value)) return `must not contain control characters, got ${show(value)}`
    return undefined
  })
}

/** A duration between `min` and `max`, both inclusive. */
export function duration([min, max]: readonly [string, string]): Field<string> {
  const [minMs, maxMs] = [parseDurationMs(min)!, parseDurationMs(max)!]
  const wanted = "a duration such as '250ms', '5s' or '10m' (ms, s, m, h, d)"
  return text(wanted, (value) => {
    const ms = parseDurationMs(value)
    if (ms === undefined) return `must be ${wanted}, got ${show(value)}`
    return ms < minMs || ms > maxMs ? `must be between ${min} and ${max}, got ${show(value)}` : undefined
  })
}

/** A size between `min` and `max`, both inclusive. */
export function size([min, max]: readonly [string, string]): Field<string> {
  const [minBytes, maxBytes] = [parseBytes(min)!, parseBytes(max)!]
  const wanted = "a size such as '300MiB' (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)"
  return text(wanted, (value) => {
    const bytes = parseBytes(value)
    if (bytes === undefined) return `must be ${wanted}, got ${show(value)}`
    return bytes < minBytes || bytes > maxBytes
      ? `must be between ${min} and ${max}, got ${show(value)}`
      : undefined
  })
}

export function number([min, max]: readonly [number, number]): Field<number> {
  return leaf((value) =>
    typeof value === 'number' && value >= min && value <= max
      ? undefined
      : `must be a number between ${min} and ${max}, got ${show(value)}`,
  )
}

export function integer([min, max]: readonly [number, number]): Field<number> {
  return leaf((value) =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max
      ? undefined
      : `must be a whole number between ${min} and ${max}, got ${show(value)}`,
  )
}

export function boolean(): Field<boolean> {
  return leaf((value) =>
    typeof value === 'boolean' ? undefined : `must be true or false, got ${show(value)}`,
  )
}

/** One of a fixed set of strings. */
export function oneOf<const T extends string>(...allowed: readonly T[]): Field<T> {
  const wanted = allowed.map((a) => `'${a}'`).join(' or ')
  return leaf((value) => {
    if (typeof value !== 'string') return `must be ${wanted}, got ${show(value)}`
    if ((allowed as readonly string[]).includes(value)) return undefined
    return `must be ${wanted}, got ${show(value)}${didYouMean(value, allowed)}`
  })
}

/** Checks the name of a herd, group or worker, which is used as a topic token, a file name and part of a unit name. The
 *  message continues "the name ...". */
export function reasonName(value: string): string | undefined {
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/i.test(value)) {
    return `must have 1 to 63 letters, digits, '-' or '_' and begin with a letter or digit, got ${show(value)}`
  }
  if (value.toLowerCase() === 'system')
    return `'${value}' is reserved for byre's own topics. Choose another name`
  if (value in {} || value === 'prototype') return `'${value}' is reserved by JavaScript. Choose another name`
  return undefined
}

/** Checks a group name. The socket `<group>.sock` must not collide with `_all.sock` or `run-<worker>.sock`. */
export function reasonGroupName(value: string): string | undefined {
  if (value === '_all')
    return "'_all' is reserved for the socket of a supervisor that hosts every group. Choose another name"
  if (value.startsWith('run-'))
    return `must not begin with 'run-', which is reserved for the sockets of 'byre run', got ${show(value)}`
  return reasonName(value)
}

/** A list of `min` to MAX_LIST entries. */
export function list<T>(
  item: Field<T>,
  { min, of }: { readonly min: number; readonly of: string } = { min: 0, of: 'entry' },
): Field<T[]> {
  const items = v.array(item)
  const refused = leaf<T[]>((value) => {
    if (!Array.isArray(value)) return `must be an array, got ${show(value)}`
    return value.length < min
      ? `must have at least one ${of}`
      : `must have at most ${MAX_LIST} entries, got ${value.length}`
  })
  const fits = (value: unknown): boolean =>
    Array.isArray(value) && value.length >= min && value.length <= MAX_LIST
  return v.lazy((value) => (fits(value) ? items : refused)) as Field<T[]>
}

/** An object with any keys, which other code checks, and one kind of value. */
export function record<T>(value: Field<T>): Field<Record<string, T>> {
  const entries = v.record(v.string(), value)
  return v.lazy((input) => (isRecord(input) ? entries : notAnObject)) as Field<Record<string, T>>
}

/** An object with exactly these keys. Each unknown key is a separate issue. */
export function object<const E extends v.ObjectEntries>(
  entries: E,
): Field<v.InferOutput<v.ObjectSchema<E, undefined>>> {
  const unknownKey = v.custom<never>(() => false, UNKNOWN_KEY + Object.keys(entries).join(' '))
  const shape = v.objectWithRest(entries, unknownKey)
  return v.lazy((input) => (isRecord(input) ? shape : notAnObject)) as unknown as Field<
    v.InferOutput<v.ObjectSchema<E, undefined>>
  >
}

const notAnObject = leaf<never>((value) => `must be an object, got ${kindOf(value)}`)
/** Marks the message of an issue about an unknown key. The known keys follow it. */
const UNKNOWN_KEY = '\0'

/** The message for an issue. */
export function describeIssue(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'object_with_rest') return 'is missing'
  if (!issue.message.startsWith(UNKNOWN_KEY)) return issue.message
  const known = issue.message.slice(UNKNOWN_KEY.length).split(' ')
  const near = didYouMean(String(issue.path?.at(-1)?.key), known)
  return near === '' ? `unknown key; known keys are ${known.join(', ')}` : `unknown key${near}`
}
