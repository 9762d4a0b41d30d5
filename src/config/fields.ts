// The building blocks of the schema: valibot walks the structure, the sentences are ours. A leaf knows what it wants
// and says what it got; an object names unknown keys and what they were probably meant to be.

import * as v from 'valibot'
import { parseBytes } from '../base/bytes.ts'
import { isRecord } from '../base/check.ts'
import { parseDurationMs } from '../base/durations.ts'
import { didYouMean } from '../base/suggest.ts'
import { MAX_LIST } from './defaults.ts'
import { kindOf, show } from './problems.ts'

/** A schema of T whose input is unknown. */
export type Field<T> = v.GenericSchema<unknown, T>

/** Undefined when the value will do, else the whole sentence. */
export type Reason = (value: unknown) => string | undefined

/** A value that only `reason` judges. */
export function leaf<T>(reason: Reason): Field<T> {
  return v.custom<T>(
    (value) => reason(value) === undefined,
    (issue) => reason(issue.input) ?? 'is invalid',
  ) as Field<T>
}

/** A text that only `reason` judges; `wanted` is said of anything that is no text. */
export function text(wanted: string, reason: (value: string) => string | undefined): Field<string> {
  return leaf((value) =>
    typeof value === 'string' ? reason(value) : `must be ${wanted}, got ${show(value)}`,
  )
}

/** As text, for values no message may quote. */
export function secretText(wanted: string, reason: (value: string) => string | undefined): Field<string> {
  return leaf((value) =>
    typeof value === 'string' ? reason(value) : `must be ${wanted}, got ${kindOf(value)}`,
  )
}

/** A path, an argument, a label: 1 to 4096 characters, none of them a control character. */
export function line(wanted: string): Field<string> {
  return text(wanted, (value) => {
    if (value === '') return `must be ${wanted}, got an empty text`
    if (value.length > 4096) return `must be ${wanted} of at most 4096 characters, got ${value.length}`
    if (/\p{Cc}/u.test(value)) return `must not contain control characters, got ${show(value)}`
    return undefined
  })
}

/** A duration text between `min` and `max`, both included. */
export function duration([min, max]: readonly [string, string]): Field<string> {
  const [minMs, maxMs] = [parseDurationMs(min)!, parseDurationMs(max)!]
  const wanted = "a duration such as '250ms', '5s' or '10m' (ms, s, m, h, d)"
  return text(wanted, (value) => {
    const ms = parseDurationMs(value)
    if (ms === undefined) return `must be ${wanted}, got ${show(value)}`
    return ms < minMs || ms > maxMs ? `must be between ${min} and ${max}, got ${show(value)}` : undefined
  })
}

/** A size text between `min` and `max`, both included. */
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

/** One of a closed list of texts. */
export function oneOf<const T extends string>(...allowed: readonly T[]): Field<T> {
  const wanted = allowed.map((a) => `'${a}'`).join(' or ')
  return leaf((value) => {
    if (typeof value !== 'string') return `must be ${wanted}, got ${show(value)}`
    if ((allowed as readonly string[]).includes(value)) return undefined
    return `must be ${wanted}, got ${show(value)}${didYouMean(value, allowed)}`
  })
}

/** A name of a herd, group or worker: it becomes a topic token, a file name and part of a unit name. */
export function reasonName(value: string): string | undefined {
  if (!/^[a-z0-9][a-z0-9_-]{0,62}$/i.test(value)) {
    return `must be 1 to 63 letters, digits, '-' or '_', beginning with a letter or digit, got ${show(value)}`
  }
  if (value.toLowerCase() === 'system')
    return `'${value}' is reserved for byre's own topics; choose another name`
  if (value in {} || value === 'prototype') return `'${value}' is reserved by JavaScript; choose another name`
  return undefined
}

/** A group name: its socket is `<group>.sock` beside `_all.sock` and `run-<worker>.sock`. */
export function reasonGroupName(value: string): string | undefined {
  if (value === '_all')
    return "'_all' is reserved for the socket of a supervisor that hosts every group; choose another name"
  if (value.startsWith('run-'))
    return `must not begin with 'run-' (the socket of 'byre run'), got ${show(value)}`
  return reasonName(value)
}

/** A list of at most MAX_LIST entries, at least `min` when it is given. */
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

/** Any keys (judged elsewhere), one kind of value. */
export function record<T>(value: Field<T>): Field<Record<string, T>> {
  const entries = v.record(v.string(), value)
  return v.lazy((input) => (isRecord(input) ? entries : notAnObject)) as Field<Record<string, T>>
}

/** An object with exactly these keys; every unknown one is an issue of its own. */
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
/** Marks the message of an issue about an unknown key; the known ones follow. */
const UNKNOWN_KEY = '\0'

/** The sentence for one issue: valibot's own only for a missing key, ours otherwise. */
export function describeIssue(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'object_with_rest') return 'is missing'
  if (!issue.message.startsWith(UNKNOWN_KEY)) return issue.message
  const known = issue.message.slice(UNKNOWN_KEY.length).split(' ')
  const near = didYouMean(String(issue.path?.at(-1)?.key), known)
  return near === '' ? `unknown key; known are ${known.join(', ')}` : `unknown key${near}`
}
