// Notifies systemd of the state of a supervisor: READY, STATUS, RELOADING, STOPPING and watchdog pings. Loaded only when
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

/** The methods of a Supervisor that are used here. */
export interface Watched {
  status(): Promise<Pick<SupervisorStatus, 'workers'>>
  onTransition(listener: (event: TransitionEvent) => void): () => void
}

export interface ServiceManager {
  /** Makes pings and STATUS follow the state of `supervisor`. Call it before the supervisor starts. */
  watch(supervisor: Watched): void
  /** Reports READY. Call it when every eager worker is ready or has failed. */
  ready(): Promise<void>
  /** Reports RELOADING, runs `reload`, and reports READY. `reload` returns the new workers of this process. Its error stays in
   *  STATUS until the next reload and is rethrown. */
  reload(reload: () => Promise<readonly ResolvedWorker[]>): Promise<void>
  stopping(why: string): void
  /** Call it last. Waits at most 500 ms until the pending notifications are sent. */
  close(): Promise<void>
}

const FLUSH_MS = 500
/** The shortest interval between two STATUS messages. It limits the load on systemd when workers restart in rapid succession. */
const MIN_INTERVAL_MS = 1000
/** Delay of STATUS after changes that affect only the counts, such as a worker that wakes every second. */
const COUNTS_DELAY_MS = 15_000
/** States that operators want to see at once. */
const NOTABLE: ReadonlySet<string> = new Set(['backing-off', 'quarantined', 'stopped', 'standby'])

/** Opens the notification socket and starts the pings if $WATCHDOG_USEC is set, so that the watchdog covers the start too. */
export function connectServiceManager({
  env,
  log,
  hosted: initiallyHosted,
  clock = systemClock,
}: {
  /** Usually process.env. Variables for the main process only are removed from it. */
  readonly env: Record<string, string | undefined>
  readonly log: Logger
  readonly hosted: readonly ResolvedWorker[]
  readonly clock?: Clock
}): ServiceManager {
  const notify = openNotify({ env, log, clock })
  let hosted = initiallyHosted
  let watched: Watched | undefined
  let last: string | undefined
  let reloadError: string | undefined
  let phase: 'starting' | 'up' | 'reloading' | 'stopping' = 'starting'
  let timer: Timer | undefined
  let dueAt = Number.POSITIVE_INFINITY
  let sentAt = Number.NEGATIVE_INFINITY
  const quarantined = new Set<string>()

  const watchdog = startWatchdog({
    env,
    notify,
    log,
    clock,
    isAlive() {
      const critical = hosted.find(({ name, critical }) => critical && quarantined.has(name))
      return critical === undefined ? undefined : `the critical worker ${critical.name} is quarantined`
    },
  })
  const statusText = async (): Promise<string> => {
    const workers = (await watched?.status())?.workers ?? []
    const counts: Record<string, number> = {}
    for (const { state } of workers) counts[state] = (counts[state] ?? 0) + 1
    const text = formatHerdStatus(inOrder(counts), last)
    return reloadError === undefined ? text : `${reloadError}; ${text}`
  }
  const sendStatus = async (): Promise<void> => {
    timer = undefined
    dueAt = Number.POSITIVE_INFINITY
    sentAt = clock.monotonic()
    const status = await statusText()
    if (phase === 'up') notify.send({ status })
  }
  const scheduleStatus = (delayMs: number): void => {
    const at = Math.max(clock.monotonic() + delayMs, sentAt + MIN_INTERVAL_MS)
    if (phase !== 'up' || at >= dueAt) return
    timer?.cancel()
    dueAt = at
    timer = clock.setTimer(at - clock.monotonic(), () => void sendStatus(), { unref: true })
  }
  const onTransition = ({ worker, from, to, reason }: TransitionEvent): void => {
    if (to === 'quarantined') quarantined.add(worker)
    else quarantined.delete(worker)
    const isNotable = NOTABLE.has(to) || from === 'backing-off' || from === 'quarantined'
    if (isNotable) last = `${worker}: ${from} -> ${to}: ${reason}`
    scheduleStatus(isNotable ? 0 : COUNTS_DELAY_MS)
  }
  return {
    watch(supervisor) {
      watched = supervisor
      supervisor.onTransition(onTransition)
    },
    async ready() {
      if (phase !== 'starting') return
      for (const { name, state } of (await watched?.status())?.workers ?? [])
        if (state === 'quarantined') quarantined.add(name)
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
        reloadError = undefined
      } catch (error) {
        reloadError = `reload failed, the old config stays active: ${describeThrown(error).message}`
        throw error
      } finally {
        const status = await statusText()
        if (phase === 'reloading') {
          phase = 'up'
          notify.send({ ready: true, status })
          scheduleStatus(0)
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

/** The order of the states in STATUS: active states first, failures last. */
const ORDER = ['running', 'dormant', 'loading', 'starting', 'stopping', 'standby', 'stopped', 'backing-off']

function inOrder(counts: Readonly<Record<string, number>>): Record<string, number> {
  const known = ORDER.flatMap((state) =>
    counts[state] === undefined ? [] : [[state, counts[state]] as const],
  )
  return { ...Object.fromEntries(known), ...counts }
}
