// systemd's watchdog: a ping at half the interval, only while byre is alive in the sense that counts. A blocked loop
// cannot ping, so systemd ends the unit (SIGABRT) without byre's help; a dead critical worker must be asked for.

import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import type { Notify } from './transport.ts'

export interface WatchdogOptions {
  /** Read for WATCHDOG_USEC and WATCHDOG_PID, which are removed, as sd_watchdog_enabled(3) does with unset_environment. */
  readonly env: Record<string, string | undefined>
  readonly notify: Pick<Notify, 'send'>
  /** undefined: alive. Otherwise why not, in one sentence: no ping is sent while it is so. A throw is a reason, too. */
  readonly isAlive: () => string | undefined
  readonly log: Logger
  readonly clock?: Clock
  /** @default process.pid */
  readonly pid?: number
}

export interface Watchdog {
  /** Milliseconds between pings; undefined: no watchdog is asked for. */
  readonly intervalMs: number | undefined
  /** Idempotent. */
  stop(): void
}

/** Pings at once, then at half of WATCHDOG_USEC (at least every 10 ms apart). The reason for silence is logged once per spell, since systemd's own line tells none. */
export function startWatchdog(options: WatchdogOptions): Watchdog {
  const { env, notify, log, clock = systemClock } = options
  const intervalMs = watchdogIntervalMs(env, options.pid ?? process.pid)
  delete env['WATCHDOG_USEC']
  delete env['WATCHDOG_PID']
  if (intervalMs === undefined) return { intervalMs, stop() {} }

  let timer: Timer | undefined
  let silentSince: number | undefined
  const beat = (): void => {
    timer = clock.setTimer(intervalMs, beat, { unref: true })
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
        `no watchdog pings, systemd will restart the unit: ${reason}`,
      )
    }
  }
  beat()
  return { intervalMs, stop: () => timer?.cancel() }
}

/**
 * Half of $WATCHDOG_USEC in ms (at least 10), or undefined when the variable is absent or not a positive number, or when
 * $WATCHDOG_PID names another process than `pid`.
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
