// Logs each state transition of a worker as one line with machine-readable fields.

import type { Logger, LogLevel } from './logger.ts'
import { unfolded } from './fold.ts'

/** The part of the supervisor's TransitionEvent that a log line needs; further members become fields unchanged. */
export interface TransitionLine {
  readonly worker: string
  readonly from: string
  readonly to: string
  /** One sentence. */
  readonly reason: string
}

/** The part of HerdLog it needs: byre's own lines about one worker, tagged `worker`. */
export interface TransitionLog {
  about(worker: string, urgency?: 'soon' | 'now'): Logger
}

/**
 * Writes one line with `{event: 'transition', worker, from, to, reason, ...}`, without `v` and `ts`, since the line has its
 * own time. Never folded, and independent of the worker's level. Level: error for a transition to quarantined, warn for
 * backing-off, else info.
 */
export function logTransition(log: TransitionLog, event: TransitionLine): void {
  const { worker, from, to, reason, ...rest } = event
  const fields = { event: 'transition', from, to, reason, ...rest, v: undefined, ts: undefined }
  // Code of the starting worker may block the loop forever, so that line must not wait for the end of the turn.
  const urgency = to === 'starting' ? 'now' : 'soon'
  log.about(worker, urgency)[levelOf(to)](unfolded(fields), `${from} -> ${to}: ${reason}`)
}

function levelOf(to: string): LogLevel {
  if (to === 'quarantined') return 'error'
  return to === 'backing-off' ? 'warn' : 'info'
}
