// Log levels as pino's numbers and as the priorities of syslog(3), which journald uses.

import type { LogLevel } from './logger.ts'

/** pino's level numbers, the `level` member of every JSON line. */
export const LEVEL_NUMBERS: Readonly<Record<LogLevel, number>> = {
  trace: 10,
  debug: 20,
  info: 30,
  warn: 40,
  error: 50,
  fatal: 60,
}

/** The highest level whose number is at most `number`; 'trace' for lower numbers. */
export function levelOfNumber(number: number): LogLevel {
  if (number >= 60) return 'fatal'
  if (number >= 50) return 'error'
  if (number >= 40) return 'warn'
  if (number >= 30) return 'info'
  return number >= 20 ? 'debug' : 'trace'
}

/** Priority of syslog(3), 0 (emergency) to 7 (debug). fatal is 2 (critical): 0 and 1 concern the whole system. */
export function syslogPriority(level: number): number {
  if (level >= 60) return 2
  if (level >= 50) return 3
  if (level >= 40) return 4
  return level >= 30 ? 6 : 7
}
