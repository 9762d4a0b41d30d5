// systemd's watchdog: sends a ping at half the interval while byre is alive. A blocked loop cannot ping, so systemd then
// kills the unit (SIGABRT). Other reasons, such as a dead critical worker, are checked before each ping.

import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import type { Notify } from './transport.ts'

export interface WatchdogOptions {
  /** WATCHDOG_USEC and WATCHDOG_PID are read and removed, like sd_watchdog_enabled(3) with unset_environment. */
  readonly env: Record<string, string | undefined>
  readonly notify: Pick<Notify, 'send'>
  /** Returns undefined when alive, otherwise the reason in one sentence; no ping is sent then. A throw counts as a reason. */
  readonly isAlive: () => string | undefined
  readonly log: Logger
  readonly clock?: Clock
  /** @default process.pid */
  readonly pid?: number
}

export interface Watchdog {
  /** Milliseconds between pings; undefined when the unit has no watchdog. */
  readonly intervalMs: number | undefined
  /** Idempotent. */
  stop(): void
}

/** Sends a ping at once, then at half of WATCHDOG_USEC (at least 10 ms apart). Each time pings stop, the reason is logged
 *  once, because the log line of systemd gives none. */
export function startWatchdog(options: WatchdogOptions): Watchdog {
  const { env, notify, log, clock = systemClock } = options
  const intervalMs = watchdogIntervalMs(env, options.pid ?? process.pid)
  delete env['WATCHDOG_USEC']
  delete env['WATCHDOG_PID']
  if (intervalMs === undefined) return { intervalMs, stop() {} }

  let timer: Timer | undefined
  let silentSince: number | undefined
  const ping = (): void => {
    timer = clock.setTimer(intervalMs, ping, { unref: true })
    const reason = reasonAgainst(options.isAlive)
    if (reason === undefined) {
      if (silentSince !== undefined)
        log.info(
          { event: 'watchdog-resumed', silentMs: Math.round(clock.monotonic() - silentSince) },
          'watchdog pings resumed',
        )
      silentSince = undefined
      notify.send({ watchdog: true })
    } else if (silentSince === undefined) {
      silentSince = clock.monotonic()
      log.error(
        { event: 'watchdog-silent', reason },
        `watchdog pings stopped, systemd will restart the unit: ${reason}`,
      )
    }
  }
  ping()
  return { intervalMs, stop: () => timer?.cancel() }
}

/**
 * Returns half of $WATCHDOG_USEC in ms, at least 10. Returns undefined when the variable is absent or not a positive number,
 * or when $WATCHDOG_PID is not `pid`.
 */
export function watchdogIntervalMs(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | undefined {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: owner } = env
  if (usec === undefined || !/^[1-9]\d{0,15}$/.test(usec)) return undefined
  if (owner !== undefined && owner !== String(pid)) return undefined
  return Math.max(10, Math.floor(Number(usec) / 2000))
}

function reasonAgainst(isAlive: () => string | undefined): string | undefined {
  try {
    return isAlive()
  } catch (error) {
    return `the check itself failed: ${describeThrown(error).message}`
  }
}
