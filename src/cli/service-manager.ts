// What a hosting process tells systemd: READY, STATUS, RELOADING, STOPPING and the watchdog's pings. Loaded only when
// $NOTIFY_SOCKET is set.

import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { stopBudgetMs } from '../config/stop-budget.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import { formatHerdStatus } from '../notify/sd-notify.ts'
import { openNotify } from '../notify/transport.ts'
import { startWatchdog } from '../notify/watchdog.ts'
import type { SupervisorStatus, TransitionEvent } from '../herd/status.ts'

export interface ServiceManagerOptions {
  /** Usually process.env; rid of what only the main process may use. */
  readonly env: Record<string, string | undefined>
  readonly log: Logger
  readonly hosted: readonly ResolvedWorker[]
  readonly clock?: Clock
}

/** What is watched, as a Supervisor is. */
export interface Watched {
  status(): Promise<Pick<SupervisorStatus, 'workers'>>
  onTransition(listener: (event: TransitionEvent) => void): () => void
}

export interface ServiceManager {
  /** From here on pings and STATUS follow what `supervisor` does. Before its start. */
  watch(supervisor: Watched): void
  /** Every eager worker is ready or given up. */
  ready(): Promise<void>
  /** Tells of a reload, runs it, tells how it ended. `reload` gives the new herd's workers of this process; what it
   *  throws stays in STATUS until the next reload, and is thrown on. */
  reload(reload: () => Promise<readonly ResolvedWorker[]>): Promise<void>
  stopping(why: string): void
  /** At the very end; waits at most 500 ms for the manager to take what is left. */
  close(): Promise<void>
}

const FLUSH_MS = 500
/** Restarts and quarantines show at once, but a restart storm must not become one of the manager's. */
const NEWS_MS = 1000
/** A worker that wakes by itself every second is no news; the counts follow this late. */
const COUNTS_MS = 15_000
/** What people want to know of: the rest is the daily life of a worker. */
const NEWS: ReadonlySet<string> = new Set(['backing-off', 'quarantined', 'stopped', 'standby'])

/** Opens the way to the manager and begins to ping, if $WATCHDOG_USEC asks for it: start-up is under the watchdog too. */
export function connectServiceManager(options: ServiceManagerOptions): ServiceManager {
  const { env, log, clock = systemClock } = options
  const notify = openNotify({ env, log, clock })
  let { hosted } = options
  let watched: Watched | undefined
  let last: string | undefined
  let trouble: string | undefined
  let phase: 'starting' | 'up' | 'reloading' | 'stopping' = 'starting'
  let timer: Timer | undefined
  let dueAt = Number.POSITIVE_INFINITY
  let toldAt = Number.NEGATIVE_INFINITY
  const lost = new Set<string>()

  const watchdog = startWatchdog({
    env,
    notify,
    log,
    clock,
    isAlive() {
      const critical = hosted.find(({ name, critical }) => critical && lost.has(name))
      return critical === undefined ? undefined : `the critical worker ${critical.name} is quarantined`
    },
  })
  const statusText = async (): Promise<string> => {
    const workers = (await watched?.status())?.workers ?? []
    const counts: Record<string, number> = {}
    for (const { state } of workers) counts[state] = (counts[state] ?? 0) + 1
    const text = formatHerdStatus(inOrder(counts), last)
    return trouble === undefined ? text : `${trouble}; ${text}`
  }
  const tell = async (): Promise<void> => {
    timer = undefined
    dueAt = Number.POSITIVE_INFINITY
    toldAt = clock.monotonic()
    const status = await statusText()
    if (phase === 'up') notify.send({ status })
  }
  const tellWithin = (delayMs: number): void => {
    const at = Math.max(clock.monotonic() + delayMs, toldAt + NEWS_MS)
    if (phase !== 'up' || at >= dueAt) return
    timer?.cancel()
    dueAt = at
    timer = clock.setTimer(at - clock.monotonic(), () => void tell(), { unref: true })
  }
  const onTransition = ({ worker, from, to, reason }: TransitionEvent): void => {
    if (to === 'quarantined') lost.add(worker)
    else lost.delete(worker)
    const isNews = NEWS.has(to) || from === 'backing-off' || from === 'quarantined'
    if (isNews) last = `${worker}: ${from} -> ${to}: ${reason}`
    tellWithin(isNews ? 0 : COUNTS_MS)
  }
  return {
    watch(supervisor) {
      watched = supervisor
      supervisor.onTransition(onTransition)
    },
    async ready() {
      if (phase !== 'starting') return
      for (const { name, state } of (await watched?.status())?.workers ?? [])
        if (state === 'quarantined') lost.add(name)
      const status = await statusText()
      if (phase !== 'starting') return
      phase = 'up'
      notify.send({ ready: true, status })
    },
    async reload(reload) {
      if (phase !== 'up') return void (await reload())
      phase = 'reloading'
      notify.send({ reloading: true, status: 'reloading the config' })
      try {
        hosted = await reload()
        trouble = undefined
      } catch (error) {
        trouble = `reload failed, the old config keeps running: ${describeThrown(error).message}`
        throw error
      } finally {
        const status = await statusText()
        if (phase === 'reloading') {
          phase = 'up'
          notify.send({ ready: true, status })
          tellWithin(0)
        }
      }
    },
    stopping(why) {
      phase = 'stopping'
      timer?.cancel()
      notify.send({ stopping: true, status: `stopping: ${why}`, extendTimeoutMs: stopBudgetMs(hosted) })
    },
    async close() {
      watchdog.stop()
      timer?.cancel()
      await notify.flush(FLUSH_MS)
    },
  }
}

/** The same order in each STATUS: what runs first, trouble last. */
const ORDER = ['running', 'dormant', 'loading', 'starting', 'stopping', 'standby', 'stopped', 'backing-off']

function inOrder(counts: Readonly<Record<string, number>>): Record<string, number> {
  const known = ORDER.flatMap((state) =>
    counts[state] === undefined ? [] : [[state, counts[state]] as const],
  )
  return { ...Object.fromEntries(known), ...counts }
}
