// Tells what an ended run, or a load that failed, left behind and byre closed.

import type { Logger } from '../log/logger.ts'
import type { ClosedSetUp } from '../ownership/set-up.ts'
import type { Leftovers } from './placement.ts'

/** One warning with the names; nothing when there is nothing. */
export function reportLeftovers(log: Logger, { timers, listeners, servers }: Leftovers): void {
  if (timers.length + listeners.length + servers.length === 0) return
  log.warn(
    { event: 'leftovers', timers, listeners, servers },
    'the ended run left timers, listeners or servers behind; they were cleared',
  )
}

/** One warning with the names; `closed` undefined: it had set nothing up. */
export function reportClosedSetUp(log: Logger, closed: ClosedSetUp | undefined): void {
  if (closed === undefined) return
  log.warn(
    { event: 'leftovers', ...closed },
    'the failed load left timers, listeners, servers or other handles of its module behind; they were closed',
  )
}
