// One line per state change of a worker, with machine fields.

import type { Logger, LogLevel } from './logger.ts'
import { unfolded } from './unfolded.ts'

/** The part of the supervisor's TransitionEvent that a log line needs; further members become fields as they are. */
export interface TransitionLine {
  readonly worker: string
  readonly from: string
  readonly to: string
  /** One sentence. */
  readonly reason: string
}

/** The part of HerdLog it needs: byre's own words about one worker, already tagged `worker`. */
export interface TransitionLog {
  about(worker: string, urgency?: 'soon' | 'now'): Logger
}

/**
 * Writes one line with `{event: 'transition', worker, from, to, reason, ...}`; `v` and `ts` are left out, since the line
 * has its own time. Never folded, whatever the worker's own level is. Level: error into quarantined, warn into
 * backing-off, else info.
 */
export function logTransition(log: TransitionLog, event: TransitionLine): void {
  const { worker, from, to, reason, ...rest } = event
  const fields = { event: 'transition', from, to, reason, ...rest, v: undefined, ts: undefined }
  // What comes next may never return to the loop.
  const urgency = to === 'starting' ? 'now' : 'soon'
  log.about(worker, urgency)[levelOf(to)](unfolded(fields), `${from} -> ${to}: ${reason}`)
}

function levelOf(to: string): LogLevel {
  if (to === 'quarantined') return 'error'
  return to === 'backing-off' ? 'warn' : 'info'
}
