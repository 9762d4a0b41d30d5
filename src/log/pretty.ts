// Formats log lines for a terminal: `12:34:56.789 INFO  webhook  delivered  ms=12`. Not pino-pretty, whose import costs
// memory for what takes forty lines here.

import { levelOfNumber } from './levels.ts'
import type { LogLevel } from './logger.ts'
import { formatFields, parseRecord, printable } from './record.ts'
import type { LogRecord } from './record.ts'

export interface PrettyOptions {
  /** ANSI colours. */
  readonly colour: boolean
}

const COLOURS: Readonly<Record<LogLevel, number>> = {
  trace: 90,
  debug: 36,
  info: 32,
  warn: 33,
  error: 31,
  fatal: 35,
}

/**
 * Text of one JSON log line, with a newline: local time, level, worker, message, fields; below, indented, the continuation
 * lines of the message and the stack of `err`. Control characters are escaped.
 */
export function formatPretty(line: string, options: PrettyOptions): string {
  const record = parseRecord(line)
  const paint = (code: number, text: string): string =>
    options.colour && text !== '' ? `\u001b[${code}m${text}\u001b[0m` : text
  const level = levelOfNumber(record.level)
  const [first = '', ...more] = record.message.split('\n')
  const parts = [
    paint(90, clockTime(record.timeMs)),
    paint(COLOURS[level], level.toUpperCase().padEnd(5)),
    paint(36, printable(record.worker ?? 'byre')),
    printable(first),
    paint(90, printable(formatFields(shownFields(record.fields)))),
  ]
  const head = `${parts[0]} ${parts[1]} ${parts.slice(2).filter(Boolean).join('  ')}`
  const below = [...more, ...(record.stack?.split('\n') ?? [])].map((l) => `\n    ${printable(l)}`)
  return `${head}${below.join('')}\n`
}

/** Omitted for transitions: the message contains them. */
const TRANSITION_FIELDS = new Set(['event', 'from', 'to', 'reason'])

function shownFields(fields: LogRecord['fields']): LogRecord['fields'] {
  const isTransition = fields.some(([key, value]) => key === 'event' && value === 'transition')
  return isTransition ? fields.filter(([key]) => !TRANSITION_FIELDS.has(key)) : fields
}

/** HH:MM:SS.mmm in local time. */
function clockTime(ms: number | undefined): string {
  if (ms === undefined) return '--:--:--.---'
  const at = new Date(ms)
  const two = (n: number): string => String(n).padStart(2, '0')
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/** Returns false when $NO_COLOR is not empty (no-color.org) or TERM is 'dumb'. */
export function wantsColour(env: Readonly<Record<string, string | undefined>>): boolean {
  return (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'
}
