// The logger every part of byre and every worker writes to. Same calling convention as pino, which implements it
// (log/pino.ts, the one file that imports pino); nothing outside log/ depends on pino itself.

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']

/** True for one of the six and 'silent'. */
export function isLevel(value: unknown): value is LogLevel | 'silent' {
  return value === 'silent' || LOG_LEVELS.includes(value as LogLevel)
}

/**
 * `log.info('text')` or `log.info({ field: 1 }, 'text')`; `values` fill in `%s %d %i %f %o %O %j` of the text. Fields are
 * machine-readable; units in their names. Never throws, whatever it is given.
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
  /** A logger whose every line also carries `bindings`. */
  child(bindings: Readonly<Record<string, unknown>>): Logger
}
