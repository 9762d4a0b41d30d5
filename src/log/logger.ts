// The logger interface of byre and its workers, with pino's calling convention. pino.ts implements it and is the only file
// that imports pino.

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']

/** Returns true for one of the six levels and for 'silent'. */
export function isLevel(value: unknown): value is LogLevel | 'silent' {
  return value === 'silent' || LOG_LEVELS.includes(value as LogLevel)
}

/**
 * `log.info('text')` or `log.info({ field: 1 }, 'text')`; `values` replace `%s %d %i %f %o %O %j` in the text. Field names
 * include their units. Never throws, for any arguments.
 */
export interface LogFn {
  (fields: object, message?: string, ...values: unknown[]): void
  (message: string, ...values: unknown[]): void
}

export interface Logger {
  level: LogLevel | 'silent'
  readonly trace: LogFn
  readonly debug: LogFn
  readonly info: LogFn
  readonly warn: LogFn
  readonly error: LogFn
  readonly fatal: LogFn
  /** A logger that adds `bindings` to each of its lines. */
  child(bindings: Readonly<Record<string, unknown>>): Logger
}
