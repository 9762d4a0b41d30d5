// Log lines about resources that an ended run, or a failed load, left open and byre closed.

import type { Logger } from '../log/logger.ts'
import type { ClosedSetUp } from '../ownership/set-up.ts'
import type { Leftovers } from './placement.ts'

/** Logs one warning with the names, if there are any. */
export function reportLeftovers(log: Logger, { timers, listeners, servers }: Leftovers): void {
  if (timers.length + listeners.length + servers.length === 0) return
  log.warn(
    { event: 'leftovers', timers, listeners, servers },
    'the run ended with open timers, listeners or servers; byre closed them',
  )
}

/** Logs one warning with the names; `closed` is undefined if there was nothing to close. */
export function reportClosedSetUp(log: Logger, closed: ClosedSetUp | undefined): void {
  if (closed === undefined) return
  log.warn(
    { event: 'leftovers', ...closed },
    'the load failed with open timers, listeners, servers or other handles of its module; byre closed them',
  )
}
