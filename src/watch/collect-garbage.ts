// Returns the garbage of the start-up to the kernel: a full collection once the herd is quiet, and again some time after modules
// were loaded. Otherwise half of a Node process is uncollected start-up garbage. A plain gc() returns none of it;
// HeapProfiler.collectGarbage (V8's CollectAllAvailableGarbage) does: it also flushes the bytecode of functions that ran once
// and empties V8's page pool.

import type { Clock, Timer } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { Logger } from '../log/logger.ts'

/** Quiet time required after the herd is ready or a module was loaded. */
const QUIET_MS = 1000
/** Minimum time between two collections: each blocks the loop for 20 to 100 ms. */
const APART_MS = 60_000
/** A process that used more of a core than this during the quiet time is not quiet, and is checked again. */
const BUSY_RATIO = 0.5
/** Maximum number of checks: a herd that is never quiet collects by itself. */
const CHECKS_MAX = 10

export interface IdleCollector {
  /** Something was loaded: collect when the process is quiet. */
  loaded(): void
  close(): void
}

export interface IdleCollectorOptions {
  readonly scheduler: Scheduler
  readonly clock: Clock
  readonly log: Logger
}

export function createIdleCollector({ scheduler, clock, log }: IdleCollectorOptions): IdleCollector {
  let timer: Timer | undefined
  let lastAt = Number.NEGATIVE_INFINITY
  let checks = 0
  // CPU time, not loop utilisation: on a busy machine a loop that waits for a core looks busy itself.
  let since = { cpu: process.cpuUsage(), at: clock.monotonic() }

  const arm = (delayMs: number): void => {
    timer?.cancel()
    since = { cpu: process.cpuUsage(), at: clock.monotonic() }
    timer = scheduler.after(delayMs, collectWhenQuiet, QUIET_MS)
  }
  const collectWhenQuiet = (): void => {
    timer = undefined
    const used = process.cpuUsage(since.cpu)
    const busy = (used.user + used.system) / 1000 / Math.max(1, clock.monotonic() - since.at)
    if (busy > BUSY_RATIO) {
      if (++checks < CHECKS_MAX) arm(QUIET_MS)
      return
    }
    lastAt = clock.monotonic()
    void collectAll().then(
      (ms) =>
        log.debug(
          { event: 'garbage-collected', pauseMs: Math.round(ms), rssBytes: process.memoryUsage.rss() },
          'start-up garbage collected',
        ),
      (error: unknown) =>
        log.debug(
          { event: 'garbage-not-collected', reason: String(error) },
          'start-up garbage not collected',
        ),
    )
  }
  return {
    loaded() {
      checks = 0
      arm(Math.max(QUIET_MS, lastAt + APART_MS - clock.monotonic()))
    },
    close: () => timer?.cancel(),
  }
}

/** Collects all garbage. Resolves with the milliseconds for which the loop was blocked. Rejects where there is no inspector. */
export async function collectAll(): Promise<number> {
  const { Session } = await import('node:inspector')
  const session = new Session()
  session.connect()
  const done = deferred<number>()
  const startedAt = performance.now()
  session.post('HeapProfiler.collectGarbage', (error) => {
    if (error === null) done.resolve(performance.now() - startedAt)
    else done.reject(error)
  })
  return await done.promise.finally(() => {
    // Not inside the callback: disconnecting there hangs the process.
    setImmediate(() => session.disconnect())
  })
}
