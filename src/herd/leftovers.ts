// Log lines about resources and child processes that an ended run, or a failed load, left behind.

import { formatDurationMs } from '../base/durations.ts'
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

/** Logs one warning about child processes, by name: `children` are sent SIGTERM; `detached` lead a session of their own and run
 *  on. At most 20 names of each and a count. */
export function reportChildren(log: Logger, children: readonly string[], detached: readonly string[]): void {
  if (children.length + detached.length === 0) return
  log.warn(
    { event: 'leftovers', children, ...(detached.length === 0 ? {} : { detached }) },
    children.length === 0
      ? 'detached child processes were left running'
      : 'child processes were left running; byre ends them',
  )
}

/** `graceMs`: time since SIGTERM. */
export function reportKilledChildren(log: Logger, children: readonly string[], graceMs: number): void {
  log.warn(
    { event: 'children-killed', children, graceMs },
    `child processes ignored SIGTERM for ${formatDurationMs(graceMs)}: byre sent SIGKILL`,
  )
}

export function reportUnendedChildren(log: Logger, children: readonly string[], why: string): void {
  log.error({ event: 'children-left', children, why }, `child processes cannot be ended: ${why}`)
}
