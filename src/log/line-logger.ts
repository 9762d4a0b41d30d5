// Writes log lines in pino's format without loading pino: byre's own lines, and those of workers in a thread or process.
// Measured in a herd of 18 dormant workers: loading pino at start costs 0.75 MB of private memory on Node 20 and 0.97 MB on
// Node 24 (medians of 5). pino is loaded with the first worker in the shared loop that logs (pino.ts). A test compares the
// lines of both for the same calls.

import { stringify } from '../base/json.ts'
import { childFields, lineFields, readable, readCall, serialise } from './call.ts'
import { errorFields } from './error-fields.ts'
import { LEVEL_NUMBERS } from './levels.ts'
import { isLevel, LOG_LEVELS } from './logger.ts'
import type { LogFn, Logger, LogLevel } from './logger.ts'

export interface LineLoggerOptions {
  /** A function is evaluated for each line until `logger.level` is set. */
  readonly level: LogLevel | 'silent' | (() => LogLevel | 'silent')
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Called with one JSON line, newline included, and the number of its level. Must not throw. */
  readonly write: (line: string, level: number) => void
  /** Returns false to drop the line. Called before the line is built. */
  readonly admit?: (level: LogLevel, fields: unknown, message: unknown) => boolean
  /** Members of every line. */
  readonly bindings?: Readonly<Record<string, unknown>>
  /** Called when `logger.level` is set. */
  readonly onLevel?: (level: LogLevel | 'silent') => void
}

/**
 * Logging calls never throw: a value that cannot be serialised is replaced by a note in the line. Setting an unknown level
 * throws. Children use the level of their parent until theirs is set.
 */
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
      if (!isLevel(level)) throw new Error(`unknown level ${String(level)}`) // pino's message
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

/** `,"key":value` for each own enumerable string key whose value has a JSON form. */
function serialiseFields(fields: object): string {
  let out = ''
  for (const [key, value] of Object.entries(readable(fields))) {
    const json = serialise(key === 'err' ? errorFields(value) : value)
    if (json !== undefined) out += `,${stringify(key)}:${json}`
  }
  return out
}

/** Longest JSON line, characters. */
const MAX_LINE_LENGTH = 65_536
/** Part of a longer line that is kept, characters. */
const HEAD_LENGTH = 2048

/** Returns `line`, or when it is too long a line with the same level and worker, its length and its first characters. */
export function limitLine(line: string, level: number, now: number, worker: string): string {
  if (line.length <= MAX_LINE_LENGTH) return line
  const cut = {
    level,
    time: now,
    ...(worker === '' ? {} : { worker }),
    event: 'log-line-cut',
    length: line.length,
    head: line.slice(0, HEAD_LENGTH),
    msg: `Cut a log line of ${line.length} characters: the limit is ${MAX_LINE_LENGTH}`,
  }
  return `${stringify(cut)}\n`
}
