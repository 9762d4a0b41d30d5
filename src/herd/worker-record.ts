// The record of one worker for the status: counters, timestamps, the last exit. Makes no decisions.

import type { ResolvedWorker } from '../config/types.ts'
import type { Wake } from '../worker/contract.ts'
import type { Exit, LoadFigures, Whereabouts } from './placement.ts'
import type { WorkerState } from './state.ts'
import type { ExitRecord, Verdict, WorkerStatus } from './status.ts'

/** The parts of a status that only the runner knows. */
export interface Current {
  /** Thread or process of the current run; undefined in the supervisor's own thread. */
  readonly where: Whereabouts | undefined
  readonly waitingFor: readonly string[]
  readonly inbox: { readonly unclaimed: number; readonly size: number; readonly dropped: number }
  /** Messages that the current run dropped. */
  readonly busDropped: number
}

export class WorkerRecord {
  /** Number of the latest run; incremented as well when a run is abandoned, so that its late reports can be ignored. */
  runs = 0
  restarts = 0
  failures = 0
  failuresBy: Partial<Record<Verdict, number>> | undefined
  wakes = 0
  ticksSkipped = 0
  /** Messages that arrived while the worker was stopped or quarantined. */
  refused = 0
  /** The last stop timed out. */
  unstopped = false
  lastWake: Wake | undefined
  /** Timestamps in ms since the epoch. */
  startedAt: number | undefined
  readyAt: number | undefined
  retryAt: number | undefined
  loadedAt: number | undefined
  load: LoadFigures | undefined
  lastExit: ExitRecord | undefined

  /** Records a transition; `now` in ms since the epoch. */
  moved(from: WorkerState, to: WorkerState, now: number): void {
    if (to.kind === 'running') this.readyAt = now
    if (to.kind === 'backing-off') this.retryAt = now + Math.round(to.delayMs)
    if (to.kind === 'loading' && (from.kind === 'backing-off' || from.kind === 'stopping')) this.restarts++
  }

  launched(wake: Wake): void {
    this.runs++
    this.wakes++
    this.lastWake = wake
  }

  /** A restart on the same module instance loads nothing: the figures of the last real load are kept. */
  loaded(figures: LoadFigures | undefined, now: number): void {
    if (figures === undefined) return
    const { ms } = figures
    this.load = ms === undefined ? figures : { ...figures, ms: Math.round(ms * 10) / 10 }
    this.loadedAt = now
  }

  /** Returns whether the exit is a failure. */
  exited(exit: Exit, now: number): boolean {
    const failed = exit.verdict !== 'done' && exit.verdict !== 'stopped'
    if (failed) this.failed(exit.verdict)
    this.lastExit = { verdict: exit.verdict, reason: exit.text, evidence: exit.evidence, at: now }
    return failed
  }

  /** The exit of the last process, from the breadcrumb for example. */
  inherited(exit: ExitRecord): void {
    this.lastExit = exit
    this.failed(exit.verdict)
  }

  failed(verdict: Verdict): void {
    this.failures++
    this.failuresBy = { ...this.failuresBy, [verdict]: (this.failuresBy?.[verdict] ?? 0) + 1 }
  }

  /** `now`: the parts that only the runner knows. */
  status(spec: ResolvedWorker, state: WorkerState, now: Current): WorkerStatus {
    const { where, waitingFor } = now
    const { unclaimed, size: queued, dropped } = now.inbox
    const busDropped = dropped + now.busDropped + this.refused
    return {
      name: spec.name,
      state: state.kind,
      placement: spec.placement,
      activation: spec.activation.kind,
      ...(where === undefined ? { pid: process.pid } : placed(where)),
      ...(waitingFor.length === 0 ? {} : { waitingFor }),
      ...(spec.lease === undefined ? {} : leaseIn(state)),
      ...(unclaimed === 0 ? {} : { unclaimed }),
      ...(queued === 0 ? {} : { queued }),
      ...(busDropped === 0 ? {} : { busDropped }),
      restarts: this.restarts,
      failures: this.failures,
      ...(this.failuresBy === undefined ? {} : { failuresBy: this.failuresBy }),
      ...(spec.critical ? { critical: true } : {}),
      wakes: this.wakes,
      ...(this.startedAt === undefined ? {} : { startedAt: this.startedAt }),
      ...(this.readyAt === undefined ? {} : { readyAt: this.readyAt }),
      ...(state.kind === 'backing-off' && this.retryAt !== undefined ? { retryAt: this.retryAt } : {}),
      ...(this.load === undefined ? {} : { load: this.load }),
      ...(this.lastWake === undefined ? {} : { lastWake: this.lastWake }),
      ...(this.ticksSkipped === 0 ? {} : { ticksSkipped: this.ticksSkipped }),
      ...(this.lastExit === undefined ? {} : { lastExit: this.lastExit }),
      ...(state.kind === 'quarantined' ? { quarantine: state.why } : {}),
    }
  }
}

/** The figures most often needed, next to the state; the rest is in `sample`. */
function placed(where: Whereabouts): Partial<WorkerStatus> {
  const { cpuRatio, rssBytes } = where.sample ?? {}
  return {
    ...where,
    ...(cpuRatio === undefined ? {} : { cpu: cpuRatio }),
    ...(rssBytes === undefined ? {} : { rssBytes }),
  }
}

/** A stopping worker may have lost its lease or still hold it: nothing is reported. */
function leaseIn({ kind }: WorkerState): Pick<WorkerStatus, 'lease'> {
  if (kind === 'standby') return { lease: { held: false } }
  return kind === 'loading' || kind === 'starting' || kind === 'running' ? { lease: { held: true } } : {}
}
