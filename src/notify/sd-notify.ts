// The text of sd_notify(3) messages: newline-separated assignments in one datagram. Pure. There is no MAINPID here: byre is
// the main process its unit started, and a guessed one would make systemd watch the wrong process.

/** What to tell the service manager; what is absent is not sent. */
export interface NotifyState {
  /** Started, or (after `reloading`) reloaded. */
  readonly ready?: true
  /** A reload has begun; `ready` ends it. */
  readonly reloading?: true
  readonly stopping?: true
  /** Restarts the watchdog's countdown. */
  readonly watchdog?: true
  /** One line for `systemctl status`; line ends become spaces, longer than 1024 characters is cut. */
  readonly status?: string
  /** Asks for this much more time to start or stop, from now, ms. Rounded up; at least 1 ms. */
  readonly extendTimeoutMs?: number
}

const MAX_STATUS_LENGTH = 1024

/**
 * The message; '' when there is nothing to tell. `monotonicUsec` is CLOCK_MONOTONIC now, which systemd wants beside RELOADING=1
 * (since 253, to tell a READY=1 of before the reload from that of after it).
 */
export function formatNotify(state: NotifyState, monotonicUsec: bigint): string {
  const lines: string[] = []
  if (state.reloading === true) lines.push('RELOADING=1', `MONOTONIC_USEC=${monotonicUsec}`)
  if (state.ready === true) lines.push('READY=1')
  if (state.stopping === true) lines.push('STOPPING=1')
  if (state.extendTimeoutMs !== undefined)
    lines.push(`EXTEND_TIMEOUT_USEC=${Math.max(1, Math.ceil(state.extendTimeoutMs)) * 1000}`)
  if (state.status !== undefined) lines.push(`STATUS=${oneLine(state.status)}`)
  if (state.watchdog === true) lines.push('WATCHDOG=1')
  return lines.join('\n')
}

/** One message for two: what is newer wins; a newer stop or reload ends the talk of ready. */
export function mergeNotify(older: NotifyState, newer: NotifyState): NotifyState {
  const { ready: _ready, reloading: _reloading, ...rest } = older
  // an older ready must not be taken for the end of a newer reload, nor follow a stop (systemd: the last one wins)
  if (newer.stopping === true || newer.reloading === true) return { ...rest, ...newer }
  return { ...older, ...newer }
}

/** `17 running, 1 quarantined; last: webhook: running -> quarantined`: counts in the order given, zeros left out. */
export function formatHerdStatus(counts: Readonly<Record<string, number>>, last?: string): string {
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
  return `${parts.join(', ') || 'no workers'}${last === undefined ? '' : `; last: ${last}`}`
}

function oneLine(text: string): string {
  const line = text.replace(CONTROL, ' ').trim()
  return line.length <= MAX_STATUS_LENGTH ? line : `${line.slice(0, MAX_STATUS_LENGTH - 1)}…`
}

// a newline would begin another assignment; the others would reach the terminal of `systemctl status`
// oxlint-disable-next-line no-control-regex -- finding them is the point
const CONTROL = /[\u0000-\u001f\u007f-\u009f]+/g
