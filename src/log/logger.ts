// The logger every part of byre and every worker writes to. Same calling convention as pino, which implements it
// (log/pino.ts, the one file that imports pino); nothing outside log/ depends on pino itself.

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

export const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal']

/** `log.info('text')` or `log.info({ field: 1 }, 'text')`. Fields are machine-readable; units in their names. */
export interface LogFn {
  (fields: object, message?: string): void
  (message: string): void
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
