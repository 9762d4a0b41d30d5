// Tells what an ended run left behind and byre cleared.

import type { Logger } from '../log/logger.ts'
import type { Leftovers } from './placement/placement.ts'

/** One warning with the names; nothing when there is nothing. */
export function tellLeftovers(log: Logger, { timers, listeners }: Leftovers): void {
  if (timers.length + listeners.length === 0) return
  log.warn(
    { event: 'leftovers', timers, listeners },
    'the ended run left timers or listeners behind; they were cleared',
  )
}
