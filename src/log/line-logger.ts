// byre's own lines, in pino's format, without pino: pino's import costs 2.7 MB (Node 20), more than a third of what a
// herd of dormant workers may cost in all, so it is loaded with the first worker that needs a logger (log/pino.ts).
// One test feeds both the same calls and compares the lines.

import { describeThrown } from '../base/errors.ts'
import { errorFields } from './error-fields.ts'
import { LEVEL_NUMBERS } from './levels.ts'
import { LOG_LEVELS } from './logger.ts'
import type { LogFn, Logger, LogLevel } from './logger.ts'

export interface LineLoggerOptions {
  /** A function is asked at each line, until `logger.level` is set. */
  readonly level: LogLevel | 'silent' | (() => LogLevel | 'silent')
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** One line of JSON with its newline, and its level's number. Must not throw. */
  readonly write: (line: string, level: number) => void
  /** False holds the line back. Called before the line is built. */
  readonly admit?: (level: LogLevel, fields: unknown, message: unknown) => boolean
  /** Carried by every line. */
  readonly bindings?: Readonly<Record<string, unknown>>
  /** Told when `logger.level` is set. */
  readonly onLevel?: (level: LogLevel | 'silent') => void
}

/** Never throws, whatever it is given: what cannot be serialised is named in the line. Children follow the level of their parent until they set their own. */
export function createLineLogger(options: LineLoggerOptions): Logger {
  let { level } = options
  const levelNow = (): LogLevel | 'silent' => (typeof level === 'function' ? level() : level)
  return build(options, levelNow, serialiseFields(options.bindings ?? {}), (next) => {
    level = next
    options.onLevel?.(next)
  })
}

function build(
  options: LineLoggerOptions,
  levelNow: () => LogLevel | 'silent',
  bindings: string,
  setLevel: (level: LogLevel | 'silent') => void,
): Logger {
  const methods = {} as Record<LogLevel, LogFn>
  for (const level of LOG_LEVELS) {
    const number = LEVEL_NUMBERS[level]
    methods[level] = (fields: unknown, message?: unknown) => {
      const least = levelNow()
      if (least === 'silent' || number < LEVEL_NUMBERS[least]) return
      if (options.admit !== undefined && !options.admit(level, fields, message)) return
      options.write(
        `{"level":${number},"time":${options.now()}${bindings}${body(fields, message)}}\n`,
        number,
      )
    }
  }
  return {
    ...methods,
    get level() {
      return levelNow()
    },
    set level(level: LogLevel | 'silent') {
      setLevel(level)
    },
    child(more) {
      let level: LogLevel | 'silent' | undefined
      return build(
        options,
        () => level ?? levelNow(),
        bindings + serialiseFields(more),
        (next) => {
          level = next
        },
      )
    },
  }
}

/** As pino: `log.info('text')`, `log.info(fields, 'text')`, `log.info(error)`, whose message is the text when none is given. */
function body(fields: unknown, message: unknown): string {
  if (typeof fields !== 'object' || fields === null) return text(fields)
  if (fields instanceof Error)
    return serialiseFields({ err: fields }) + text(message ?? describeThrown(fields).message)
  const err = message === undefined ? errorOf(fields) : undefined
  return serialiseFields(fields) + text(err === undefined ? message : describeThrown(err).message)
}

function errorOf(fields: object): Error | undefined {
  try {
    const { err } = fields as { err?: unknown }
    return err instanceof Error ? err : undefined
  } catch {
    return undefined
  }
}

function text(message: unknown): string {
  return message === undefined ? '' : `,"msg":${JSON.stringify(describeThrown(message).message)}`
}

/** `,"key":value` for each own enumerable string key with a JSON value. */
function serialiseFields(fields: object): string {
  let out = ''
  try {
    for (const [key, value] of Object.entries(fields)) {
      const json = serialise(key === 'err' ? errorFields(value) : value)
      if (json !== undefined) out += `,${JSON.stringify(key)}:${json}`
    }
  } catch (error) {
    out += `,"unreadable":${JSON.stringify(describeThrown(error).message)}` // a getter that throws
  }
  return out
}

/** JSON of one value; a value without JSON (circular, a BigInt, a toJSON that throws) becomes a sentence about it. */
function serialise(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch (error) {
    return JSON.stringify(`(cannot be serialised: ${describeThrown(error).message.slice(0, 200)})`)
  }
}
