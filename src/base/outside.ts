// The async context of byre itself: what byre schedules while a worker's code calls it must not end with that worker's run.

import { AsyncResource } from 'node:async_hooks'

const start = new AsyncResource('byre')

/** Runs `fn` in the async context in which this module was evaluated: outside every worker's. */
export function runOutside<T>(fn: () => T): T {
  return start.runInAsyncScope(fn)
}
