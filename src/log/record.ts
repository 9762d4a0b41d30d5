// Parses JSON log lines for the human-readable formats (pretty, journal).

/** The standard members of a line, and the rest as fields. */
export interface LogRecord {
  readonly level: number
  /** Milliseconds since the epoch. */
  readonly timeMs: number | undefined
  readonly worker: string | undefined
  readonly message: string
  /** `err.stack`, for formats that print it separately. */
  readonly stack: string | undefined
  /** All other members in their order in the line; `err` without its stack. */
  readonly fields: readonly (readonly [string, unknown])[]
}

/** Never throws: a line that is not a JSON object becomes a record with the line as its message. */
export function parseRecord(line: string): LogRecord {
  const { level, time, worker, msg, err, ...rest } = parseObject(line)
  const { stack, ...errRest } = isObject(err) ? err : {}
  const fields = Object.entries(
    isObject(err) ? { ...rest, err: errRest } : err === undefined ? rest : { ...rest, err },
  )
  return {
    level: typeof level === 'number' ? level : 30,
    timeMs: typeof time === 'number' ? time : undefined,
    worker: typeof worker === 'string' ? worker : undefined,
    message: typeof msg === 'string' ? msg : msg === undefined ? '' : JSON.stringify(msg),
    stack: typeof stack === 'string' ? stack : undefined,
    fields,
  }
}

function parseObject(line: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line)
    if (isObject(value)) return value
  } catch {
    // not JSON: the whole line is the message
  }
  return { msg: line.trimEnd() }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `key=value key="two words" err.type=TypeError`: flattens objects one level deep, deeper ones are JSON. '' for no fields. */
export function formatFields(fields: readonly (readonly [string, unknown])[]): string {
  return fields
    .flatMap(([key, value]) =>
      isObject(value) && Object.keys(value).length > 0
        ? Object.entries(value).map(([inner, v]) => `${formatKey(key)}.${formatKey(inner)}=${formatValue(v)}`)
        : [`${formatKey(key)}=${formatValue(value)}`],
    )
    .join(' ')
}

function formatKey(key: string): string {
  return /^[\w.-]+$/.test(key) ? key : JSON.stringify(key)
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@%+,-]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value) ?? 'undefined'
}

/** Escapes control characters except tab ('\u001b' as '\x1b'), so that a log line cannot control the terminal. */
export function printable(text: string): string {
  return text.replace(CONTROL, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

// oxlint-disable-next-line no-control-regex -- the pattern must match control characters
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g
