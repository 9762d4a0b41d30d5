// Formats sd_notify(3) messages: newline-separated assignments in one datagram. MAINPID is never sent: byre is the main
// process that its unit started, and a wrong MAINPID would make systemd watch another process.

/** The state to send to the service manager; absent fields are not sent. */
export interface NotifyState {
  /** The start, or the reload after `reloading`, is complete. */
  readonly ready?: true
  /** A reload has started; `ready` ends it. */
  readonly reloading?: true
  readonly stopping?: true
  /** Restarts the watchdog's countdown. */
  readonly watchdog?: true
  /** One line for `systemctl status`. Control characters become spaces; text beyond 1024 characters is cut off. */
  readonly status?: string
  /** Requests this much more time to start or stop, from now, ms. Rounded up; at least 1 ms. */
  readonly extendTimeoutMs?: number
}

const MAX_STATUS_LENGTH = 1024

/**
 * Formats a message; '' for an empty state. `monotonicUsec` is the current CLOCK_MONOTONIC in microseconds. systemd 253 and
 * later require it with RELOADING=1, to distinguish a READY=1 before the reload from the one after it.
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

/** Merges two states that were not sent yet; newer fields win. A newer `stopping` or `reloading` removes an older `ready`. */
export function mergeNotify(older: NotifyState, newer: NotifyState): NotifyState {
  const { ready: _ready, reloading: _reloading, ...rest } = older
  // an older READY=1 must not appear to end a newer reload, nor follow STOPPING=1 (systemd uses the last assignment)
  if (newer.stopping === true || newer.reloading === true) return { ...rest, ...newer }
  return { ...older, ...newer }
}

/** Formats `17 running, 1 quarantined; last: webhook: running -> quarantined`. Counts keep their order; zeros are omitted. */
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

// a newline would start another assignment; other control characters would reach the terminal of `systemctl status`
// oxlint-disable-next-line no-control-regex -- finding them is the point
const CONTROL = /[\u0000-\u001f\u007f-\u009f]+/g
