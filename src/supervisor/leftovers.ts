// Tells what an ended run left behind and byre cleared.

import type { Logger } from '../log/logger.ts'
import type { Leftovers } from './placement/placement.ts'

/** One warning with the names; nothing when there is nothing. */
export function tellLeftovers(log: Logger, { timers, listeners, servers }: Leftovers): void {
  if (timers.length + listeners.length + servers.length === 0) return
  log.warn(
    { event: 'leftovers', timers, listeners, servers },
    'the ended run left timers, listeners or servers behind; they were cleared',
  )
}
