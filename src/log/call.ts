// One call of a logging method taken apart. pino (a worker in the shared loop) and byre's own lines (everything else) are
// given what comes out of it, so that a worker's line is the same wherever it lives. Nothing in it throws.

import { stringify } from '../base/json.ts'
import { describeThrown } from '../base/errors.ts'

export interface LogCall {
  readonly fields: object | undefined
  /** What becomes `msg`; undefined for none. A text in nearly all cases. */
  readonly text: unknown
}

/**
 * As pino reads them: `('text')`, `('%s is %d', 'n', 1)`, `(fields, 'text', ...values)`, `(error)`, whose message is the
 * text when none is given, and `(request)` or `(response)` of node:http.
 */
export function readCall(args: readonly unknown[]): LogCall {
  const [first, second, ...values] = args
  if (first === undefined) return { fields: undefined, text: formatText(second, values) }
  if (typeof first !== 'object') return { fields: undefined, text: formatText(first, args.slice(1)) }
  if (first === null)
    return { fields: undefined, text: args.length === 1 ? null : formatText(second, values) }
  const text = formatText(second, values)
  if (first instanceof Error)
    return { fields: { err: first }, text: text === undefined ? describeThrown(first).message : text }
  const fields = httpFields(first) ?? first
  return { fields, text: text === undefined ? impliedText(fields) : text }
}

/** The message of `err`, unless the fields bring a `msg` of their own. */
function impliedText(fields: object): unknown {
  try {
    const { msg, err } = fields as { msg?: unknown; err?: { message?: unknown } }
    if (msg !== undefined || !err) return undefined
    return err instanceof Error ? describeThrown(err).message : err.message
  } catch {
    return undefined
  }
}

interface Http {
  readonly method?: unknown
  readonly url?: unknown
  readonly headers?: unknown
  readonly socket?: { readonly remoteAddress?: unknown; readonly remotePort?: unknown }
  readonly setHeader?: unknown
  readonly statusCode?: unknown
  readonly getHeaders?: () => unknown
}

/** A request or response is told by what is worth reading; whole, it is its socket, parser and server. */
function httpFields(value: object): object | undefined {
  try {
    const { method, headers, socket, setHeader } = value as Http
    if (method && headers && socket) {
      const { url } = value as Http
      const { remoteAddress, remotePort } = socket
      return { req: { method, url, headers, remoteAddress, remotePort } }
    }
    if (typeof setHeader !== 'function') return undefined
    const { statusCode } = value as Http
    return { res: { statusCode, headers: (value as Http).getHeaders?.() } }
  } catch {
    return undefined
  }
}

/**
 * `%s %d %f %i %o %O %j %%` filled in as pino does; a placeholder without its value stays as it is, values without one
 * are left out.
 */
function formatText(text: unknown, values: readonly unknown[]): unknown {
  if (typeof text === 'symbol' || typeof text === 'bigint') return String(text)
  if (values.length === 0) return text
  if (typeof text === 'object' && text !== null) return [text, ...values].map((v) => serialise(v)).join(' ')
  if (typeof text !== 'string') return text
  let next = 0
  return text.replace(/%[sdfioOj%]/g, (placeholder) => {
    if (placeholder === '%%') return '%'
    return next < values.length ? (formatValue(placeholder, values[next++]) ?? placeholder) : placeholder
  })
}

function formatValue(placeholder: string, value: unknown): string | undefined {
  try {
    switch (placeholder) {
      case '%s':
        return String(value)
      case '%d':
      case '%f':
        return value === undefined || value === null ? undefined : String(Number(value))
      case '%i':
        return value === undefined || value === null ? undefined : String(Math.floor(Number(value)))
      default:
        if (typeof value === 'string') return `'${value}'`
        if (typeof value === 'function') return value.name || '<anonymous>'
        return serialise(value)
    }
  } catch (error) {
    return unreadable(error)
  }
}

/** Of two equal keys a reader takes the last, so a field must not be called like a member that every line has. */
const LINE_MEMBERS: readonly string[] = ['level', 'time']
/** What every line of a worker has, too. */
const WORKER_MEMBERS: readonly string[] = [...LINE_MEMBERS, 'worker']
/** What a child is given is in each of its lines; the last three are options in pino, which leaves them out. */
const BINDING_MEMBERS: readonly string[] = [
  ...WORKER_MEMBERS,
  'msg',
  'serializers',
  'formatters',
  'customLevels',
]

/** `fields`; those called `level`, `time`, with `tagged` also `worker`, and beside a text `msg`, as `field_level` and so on. */
export function lineFields({ fields, text }: LogCall, tagged: boolean): object | undefined {
  if (fields === undefined) return undefined
  const members = tagged ? WORKER_MEMBERS : LINE_MEMBERS
  return renamed(fields, text === undefined ? members : [...members, 'msg'])
}

/** The same for the bindings of a child; a plain object, read once. */
export function childFields(bindings: unknown): object {
  return typeof bindings === 'object' && bindings !== null ? renamed(readable(bindings), BINDING_MEMBERS) : {}
}

function renamed(fields: object, members: readonly string[]): object {
  if (!members.some((member) => hasOwn(fields, member))) return fields
  const entries = Object.entries(readable(fields))
  return Object.fromEntries(
    entries.map(([key, value]) => [members.includes(key) ? `field_${key}` : key, value]),
  )
}

function hasOwn(fields: object, key: string): boolean {
  try {
    return Object.hasOwn(fields, key)
  } catch {
    return false // a Proxy; readable() names what it throws
  }
}

/** A plain copy: what throws when read is a sentence about it. */
export function readable(fields: object): Record<string, unknown> {
  const entries: [string, unknown][] = []
  try {
    for (const key of Object.keys(fields)) entries.push([key, readMember(fields, key)])
  } catch (error) {
    entries.push(['unreadable', describeThrown(error).message])
  }
  return Object.fromEntries(entries)
}

function readMember(fields: object, key: string): unknown {
  try {
    return (fields as Record<string, unknown>)[key]
  } catch (error) {
    return unreadable(error)
  }
}

function unreadable(error: unknown): string {
  return `(cannot be read: ${describeThrown(error).message.slice(0, 200)})`
}

/**
 * JSON of one value, undefined for what has none. Where JSON.stringify throws: a BigInt is its digits as a text, a circular
 * reference '[Circular]', at most 10000 members; what throws in its toJSON is a sentence about it.
 */
export function serialise(value: unknown): string | undefined {
  try {
    return stringify(value)
  } catch {
    return serialiseHard(value)
  }
}

const MEMBERS_MAX = 10_000

function serialiseHard(value: unknown): string | undefined {
  const above: unknown[] = []
  let members = 0
  function replace(this: unknown, _key: string, member: unknown): unknown {
    if (++members > MEMBERS_MAX) return undefined
    if (typeof member === 'bigint') return String(member)
    if (typeof member !== 'object' || member === null) return member
    while (above.length > 0 && above.at(-1) !== this) above.pop()
    if (above.includes(member)) return '[Circular]'
    above.push(member)
    return member
  }
  try {
    return stringify(value, replace)
  } catch (error) {
    return stringify(`(cannot be serialised: ${describeThrown(error).message.slice(0, 200)})`)
  }
}
