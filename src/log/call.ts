// Normalises the arguments of one call of a logging method. Both loggers use the result (pino.ts for workers in the shared
// loop, line-logger.ts elsewhere), so that a worker's line is the same in every placement. Nothing in here throws.

import { stringify } from '../base/json.ts'
import { describeThrown } from '../base/errors.ts'

export interface LogCall {
  readonly fields: object | undefined
  /** The value of `msg`, usually a string; undefined for none. */
  readonly text: unknown
}

/**
 * Accepts the same arguments as pino: `('text')`, `('%s is %d', 'n', 1)`, `(fields, 'text', ...values)`, `(error)`, whose
 * message is the text when none is passed, and `(request)` or `(response)` of node:http.
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

/** The message of `err`, unless the fields contain `msg`. */
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

/** Selects the useful members of a request or response; as a whole it includes its socket, parser and server. */
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
 * Fills in `%s %d %f %i %o %O %j %%` as pino does. A placeholder without a value stays unchanged; surplus values are
 * dropped.
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

/** JSON parsers take the last of two equal keys, so a field must not have the name of a member that every line has. */
const LINE_MEMBERS: readonly string[] = ['level', 'time']
/** Members of every line of a worker. */
const WORKER_MEMBERS: readonly string[] = [...LINE_MEMBERS, 'worker']
/** The bindings of a child logger are in each of its lines. pino treats the last three names as options and drops them. */
const BINDING_MEMBERS: readonly string[] = [
  ...WORKER_MEMBERS,
  'msg',
  'serializers',
  'formatters',
  'customLevels',
]

/** `fields`, with `level` and `time`, `worker` when `tagged`, and `msg` when there is a message, renamed to `field_level` and so on. */
export function lineFields({ fields, text }: LogCall, tagged: boolean): object | undefined {
  if (fields === undefined) return undefined
  const members = tagged ? WORKER_MEMBERS : LINE_MEMBERS
  return renamed(fields, text === undefined ? members : [...members, 'msg'])
}

/** The same for the bindings of a child logger. Returns a plain object, so that getters are read only once. */
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
    return false // a Proxy whose trap throws; readable() reports the error
  }
}

/** A plain copy of `fields`; a member whose getter throws is replaced by a string with the error. */
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
 * JSON of one value; undefined when it has none. For values on which JSON.stringify throws: a BigInt becomes a string of its
 * digits, a circular reference '[Circular]', at most 10,000 members are kept, and a toJSON that throws becomes a string with
 * the error.
 */
export function serialise(value: unknown): string | undefined {
  try {
    return stringify(value)
  } catch {
    return serialiseLeniently(value)
  }
}

const MEMBERS_MAX = 10_000

function serialiseLeniently(value: unknown): string | undefined {
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
