// byre's own lines, in pino's format, without pino: pino's import costs 2.7 MB (Node 20), more than a third of what a
// herd of dormant workers may cost in all, so it is loaded with the first worker that needs a logger (log/pino.ts).
// One test feeds both the same calls and compares the lines.

import { stringify } from '../base/json.ts'
import { childFields, lineFields, readable, readCall, serialise } from './call.ts'
import { errorFields } from './error-fields.ts'
import { LEVEL_NUMBERS } from './levels.ts'
import { isLevel, LOG_LEVELS } from './logger.ts'
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

/** Never throws, whatever it is given (but for a level nobody knows): what cannot be serialised is named in the line. Children follow the level of their parent until they set their own. */
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
  const tagged = options.bindings !== undefined && 'worker' in options.bindings
  const methods = {} as Record<LogLevel, LogFn>
  for (const level of LOG_LEVELS) {
    const number = LEVEL_NUMBERS[level]
    methods[level] = (...args: unknown[]) => {
      const least = levelNow()
      if (least === 'silent' || number < LEVEL_NUMBERS[least]) return
      const call = readCall(args)
      if (options.admit !== undefined && !options.admit(level, call.fields ?? call.text, call.text)) return
      const fields = lineFields(call, tagged)
      const body = (fields === undefined ? '' : serialiseFields(fields)) + textMember(call.text)
      options.write(`{"level":${number},"time":${options.now()}${bindings}${body}}\n`, number)
    }
  }
  return {
    ...methods,
    get level() {
      return levelNow()
    },
    set level(level: LogLevel | 'silent') {
      if (!isLevel(level)) throw new Error(`unknown level ${String(level)}`) // pino's words
      setLevel(level)
    },
    child(more) {
      let level: LogLevel | 'silent' | undefined
      return build(
        options,
        () => level ?? levelNow(),
        bindings + serialiseFields(childFields(more)),
        (next) => {
          level = next
        },
      )
    },
  }
}

function textMember(text: unknown): string {
  const json = serialise(text)
  return json === undefined ? '' : `,"msg":${json}`
}

/** `,"key":value` for each own enumerable string key with a JSON value. */
function serialiseFields(fields: object): string {
  let out = ''
  for (const [key, value] of Object.entries(readable(fields))) {
    const json = serialise(key === 'err' ? errorFields(value) : value)
    if (json !== undefined) out += `,${stringify(key)}:${json}`
  }
  return out
}

/** Longest JSON line, characters; a worker may log an object of any size. */
const MAX_LINE_LENGTH = 65_536
const HEAD_LENGTH = 2048

/** `line`, or one that tells its length and how it begins when it is too long. It keeps its level and its worker. */
export function limitLine(line: string, level: number, now: number, worker: string): string {
  if (line.length <= MAX_LINE_LENGTH) return line
  const cut = {
    level,
    time: now,
    ...(worker === '' ? {} : { worker }),
    event: 'log-line-cut',
    length: line.length,
    head: line.slice(0, HEAD_LENGTH),
    msg: `A log line of ${line.length} characters was cut: at most ${MAX_LINE_LENGTH} are written`,
  }
  return `${stringify(cut)}\n`
}
