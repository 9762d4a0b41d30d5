// Log levels as numbers (pino's) and as the priorities of syslog(3), which journald shows.

import type { LogLevel } from './logger.ts'

/** pino's numbers; every JSON line carries one as `level`. */
export const LEVEL_NUMBERS: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
}

/** The level whose number is `number` or the next one below it; 'trace' for anything lower. */
export function levelOfNumber(number: number): LogLevel {
  if (number >= 60) return 'fatal'
  if (number >= 50) return 'error'
  if (number >= 40) return 'warn'
  if (number >= 30) return 'info'
  return number >= 20 ? 'debug' : 'trace'
}

/** Priority of syslog(3), 0 (emergency) to 7 (debug): fatal is 2 (critical), since 0 and 1 are the host's, not a program's. */
export function syslogPriority(level: number): number {
  if (level >= 60) return 2
  if (level >= 50) return 3
  if (level >= 40) return 4
  return level >= 30 ? 6 : 7
}
