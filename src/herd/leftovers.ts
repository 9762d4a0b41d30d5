// Log lines about resources that an ended run, or a failed load, left open and byre closed.

import type { Logger } from '../log/logger.ts'
import type { Leftovers } from './placement.ts'

/** Logs one warning with the names, if there are any; returns whether there are. */
export function reportLeftovers(log: Logger, leftovers: Leftovers): boolean {
  return report(log, leftovers, 'the run ended with open timers, listeners, servers or other handles')
}

/** The same for what the module of a worker has set up; `why`: 'the load failed'. */
export function reportClosedSetUp(log: Logger, leftovers: Leftovers, why: string): boolean {
  return report(log, leftovers, `${why} with open timers, listeners, servers or other handles of its module`)
}

function report(log: Logger, { timers, listeners, servers, handles }: Leftovers, what: string): boolean {
  if (timers.length + listeners.length + servers.length + handles.length === 0) return false
  log.warn({ event: 'leftovers', timers, listeners, servers, handles }, `${what}; byre closed them`)
  return true
}
