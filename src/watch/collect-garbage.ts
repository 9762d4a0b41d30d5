// Gives start-up garbage back to the kernel: a collection of last resort once the herd has come to rest, and again
// some time after modules were loaded. Half of a Node process is uncollected start-up garbage otherwise; a plain gc()
// returns none of it, HeapProfiler.collectGarbage (V8's CollectAllAvailableGarbage) does: it also flushes the
// bytecode of functions that ran once and empties V8's page pool.

import type { Clock, Timer } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import type { Scheduler } from '../base/scheduler.ts'
import type { Logger } from '../log/logger.ts'

/** Quiet time after the herd was ready or a module was loaded. */
const QUIET_MS = 1000
/** Two collections are at least this far apart: each holds the loop for 20 to 100 ms. */
const APART_MS = 60_000
/** A process that used more of a core than this over the quiet time is left alone and asked again. */
const BUSY_RATIO = 0.5
/** Asked this often; a herd that is never quiet collects by itself. */
const TRIES_MAX = 10

export interface IdleCollector {
  /** Something was loaded: settle when it is quiet. */
  loaded(): void
  close(): void
}

export interface IdleCollectorOptions {
  readonly scheduler: Scheduler
  readonly clock: Clock
  readonly log: Logger
}

export function createIdleCollector(deps: IdleCollectorOptions): IdleCollector {
  let timer: Timer | undefined
  let lastAt = Number.NEGATIVE_INFINITY
  let tries = 0
  // CPU time and not loop utilisation: on a busy machine a loop that waits for its turn looks busy itself.
  let since = { cpu: process.cpuUsage(), at: deps.clock.monotonic() }

  const arm = (delayMs: number): void => {
    timer?.cancel()
    since = { cpu: process.cpuUsage(), at: deps.clock.monotonic() }
    timer = deps.scheduler.after(delayMs, settle, QUIET_MS)
  }
  const settle = (): void => {
    timer = undefined
    const used = process.cpuUsage(since.cpu)
    const busy = (used.user + used.system) / 1000 / Math.max(1, deps.clock.monotonic() - since.at)
    if (busy > BUSY_RATIO) {
      if (++tries < TRIES_MAX) arm(QUIET_MS)
      return
    }
    lastAt = deps.clock.monotonic()
    void collectAll().then(
      (ms) =>
        deps.log.debug(
          { event: 'settled', pauseMs: Math.round(ms), rssBytes: process.memoryUsage.rss() },
          'start-up garbage returned',
        ),
      (error: unknown) =>
        deps.log.debug({ event: 'not-settled', reason: String(error) }, 'start-up garbage kept'),
    )
  }
  return {
    loaded() {
      tries = 0
      arm(Math.max(QUIET_MS, lastAt + APART_MS - deps.clock.monotonic()))
    },
    close: () => timer?.cancel(),
  }
}

/** Collects everything that can be; resolves with the milliseconds the loop was held. Rejects where there is no inspector. */
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
  const heldMs = await done.promise.finally(() => {
    // Not inside the callback: disconnecting there hangs the process.
    setImmediate(() => session.disconnect())
  })
  return heldMs
}
