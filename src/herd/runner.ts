// Drives one worker: feeds what happens to the pure transition, emits the transition, then performs its effects.
// A class with prototype methods and late-made parts, because a thousand dormant workers are ordinary.

import { assertNever } from '../base/check.ts'
import type { Timer } from '../base/clock.ts'
import type { RawDelivery, ScopedBus } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { Wake } from '../worker/contract.ts'
import { awaited, whenHeard } from './bus-acknowledged.ts'
import { StopReason } from '../worker/stop-reason.ts'
import type { StopKind } from '../worker/stop-reason.ts'
import type { Ticket } from './admission.ts'
import { Inbox } from './inbox.ts'
import { reportLeftovers } from './leftovers.ts'
import type { Exit, Instance, LoadFigures } from './placement.ts'
import { WorkerRecord } from './worker-record.ts'
import { decide } from './decide.ts'
import { RunEvents } from './run-events.ts'
import type { RunListener } from './run-events.ts'
import type { RunnerHost } from './runner-host.ts'
import { startTimeoutExit, unstoppedExit } from './timeout-exits.ts'
import { NO_FAILURES } from './restart.ts'
import { isLive } from './state.ts'
import type { AfterStop, Effect, Supervised, WorkerState } from './state.ts'
import type { WorkerStatus } from './status.ts'

/** How long the end of a killed process may take before the worker is named as unstopped. */
const KILL_GRACE_MS = 5000

export class Runner implements RunListener {
  spec: ResolvedWorker
  readonly index: number
  /** What is kept for it; its bus claims from it and gives back. */
  readonly inbox: Inbox
  /** What is remembered of it. */
  readonly record: WorkerRecord = new WorkerRecord()
  readonly #host: RunnerHost
  #supervised: Supervised
  #instance: Instance | undefined
  #bus: ScopedBus | undefined
  #ticket: Ticket | undefined
  /** The one time-out or backoff of its state; no state has two. */
  #timer: Timer | undefined
  /** Asked to start, held back by its gate. */
  #pending: Wake | undefined
  /** Verdict of the run being stopped, when the stop was caused by one. */
  #cause: Exit | undefined
  #ignoredSignal = false
  /** Its instance was ended because it did not stop. */
  #killed = false
  #settled: (() => void)[] | undefined
  #told = false // to start or to stop
  /** Its entry is being changed: wishes to start are noted. */
  #held = false

  constructor(spec: ResolvedWorker, index: number, host: RunnerHost) {
    this.spec = spec
    this.index = index
    this.#host = host
    this.inbox = new Inbox(spec.name, host)
    this.#supervised = { state: { kind: this.lazy ? 'dormant' : 'stopped' }, history: NO_FAILURES }
  }

  get name(): string {
    return this.spec.name
  }
  get lazy(): boolean {
    return this.spec.activation.kind === 'lazy'
  }
  get state(): WorkerState {
    return this.#supervised.state
  }
  get live(): boolean {
    return isLive(this.state)
  }
  /** The number of its latest run, and what that is subscribed to now. */
  get listening(): { readonly run: number; readonly patterns: readonly string[] } {
    return { run: this.record.runs, patterns: this.#bus?.patterns ?? [] }
  }
  /** Waiting for its gate. */
  get pending(): boolean {
    return this.#pending !== undefined
  }

  /** Nothing of it will run unless somebody asks: what `after` of others waits for, besides ready. */
  get settledDown(): boolean {
    const { kind } = this.state
    return (kind === 'stopped' && this.#told && !this.pending) || kind === 'quarantined'
  }

  /** Starts it, or notes the wish until its gate opens. */
  start(wake: Wake): void {
    this.#told = true
    if (this.#held) return this.#wait(wake)
    if (!this.live && this.#host.gate(this.spec).length > 0) return this.#wait(this.#pending ?? wake)
    this.#wait(undefined)
    this.#apply({ type: 'start', wake })
  }

  #wait(wake: Wake | undefined): void {
    this.#pending = wake
    if (wake === undefined) this.#host.waiting.delete(this)
    else this.#host.waiting.add(this)
  }

  /** The gate may have opened. */
  retryPending(): void {
    const wake = this.#pending
    if (wake !== undefined && this.#host.gate(this.spec).length === 0) this.start(wake)
  }

  /** A period or cron has come; skipped and counted unless it rests. */
  tick(): void {
    if (this.state.kind === 'dormant' && this.#pending === undefined) this.start(this.#wake('tick'))
    else this.record.ticksSkipped++
  }

  #wake(by: Wake['by']): Wake {
    return { by, at: this.#host.clock.now() }
  }

  /** A message of its activation topics: kept unless one of its open subscriptions takes it. */
  deliver(delivery: RawDelivery): void {
    const { kind } = this.state
    if (!this.#held && (kind === 'stopped' || kind === 'quarantined')) {
      this.record.refused++ // it was stopped by hand or given up: nothing is accepted on its behalf
      return
    }
    if (this.#bus?.covers(delivery.topic) === true) return
    this.inbox.keep(delivery)
    if (kind === 'dormant') this.start(this.#wake('topic'))
  }

  stop(reason: StopKind, after: AfterStop): void {
    if (this.#held && after.kind === 'start') return this.start(after.wake)
    this.#told = true
    this.#wait(undefined)
    this.record.unstopped = false
    this.#apply({ type: 'stop', reason, after })
  }

  /** Stops it for a change of its entry: until `free` nothing starts it, and what comes for it is kept. `wanted`: it shall
   *  start again then. Resolves when nothing of it runs any more. */
  async hold(wanted: boolean): Promise<void> {
    this.stop('reload', { kind: 'rest' })
    this.#held = true
    if (wanted) this.#wait(this.#wake('start'))
    await this.whenDown()
  }

  /** Takes a changed entry; for one that is held. A lazy one that is wanted waits for what wakes it, or for who asked. */
  reconfigure(spec: ResolvedWorker): void {
    const from = this.state
    this.spec = spec
    const asleep = this.lazy && this.pending
    if (asleep && this.#pending?.by === 'start') this.#wait(undefined)
    this.#supervised = { state: { kind: asleep ? 'dormant' : 'stopped' }, history: NO_FAILURES }
    if (from.kind !== this.state.kind) this.#moved(from, this.state, 'reload')
  }

  /** Ends the hold: what was asked for or kept meanwhile counts now. */
  free(): void {
    this.#held = false
    this.retryPending()
    this.#wakeForKept()
  }

  isolate(why: string): void {
    this.#held = false
    this.#wait(undefined)
    this.#apply({ type: 'isolate', why })
  }

  /** What runs of it now, for what only its placement can do. */
  get instance(): Instance | undefined {
    return this.#instance
  }

  /** Resolves when nothing of it runs any more. */
  async whenDown(): Promise<void> {
    if (!this.live) return
    await new Promise<void>((resolve) => void (this.#settled ??= []).push(resolve))
  }

  status(): WorkerStatus {
    return this.record.status(this.spec, this.state, {
      where: this.#instance?.whereabouts,
      waitingFor: awaited(this.#pending === undefined ? [] : this.#host.gate(this.spec), this.#bus),
      inbox: this.inbox,
      busDropped: this.#bus?.dropped ?? 0,
    })
  }

  get #log(): Logger {
    return this.#host.logOf(this.name)
  }

  #apply(event: Parameters<typeof decide>[1]): void {
    const before = this.#supervised
    const step = decide(before, event, this.spec, this.#host)
    this.#supervised = step.next
    const moved =
      before.state.kind !== step.next.state.kind || step.effects.some((effect) => effect.type === 'load')
    if (moved) this.#moved(before.state, step.next.state, step.reason)
    for (const effect of step.effects) this.#perform(effect)
    if (moved) this.#afterMove(before.state)
  }

  #moved(from: WorkerState, to: WorkerState, reason: string): void {
    const ts = this.#host.clock.now()
    this.record.moved(from, to, ts)
    this.#host.onTransition({ v: 1, ts, worker: this.name, from: from.kind, to: to.kind, reason })
  }

  #afterMove(from: WorkerState): void {
    if (isLive(from) && !this.live) {
      const waiting = this.#settled ?? []
      this.#settled = undefined
      for (const resolve of waiting) resolve()
    }
    this.#wakeForKept()
  }

  #wakeForKept(): void {
    if (this.state.kind === 'dormant' && this.inbox.size > 0) this.start(this.#wake('topic'))
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'load':
        this.#launch()
        return
      case 'run':
        this.inbox.offer() // with what came while it loaded
        this.#instance?.run()
        return
      case 'abort':
        this.#instance?.abort(new StopReason(effect.reason, 'supervisor'))
        return
      case 'abandon':
        this.#abandon()
        return
      case 'arm-stop-timeout':
        this.#arm(this.spec.stopTimeoutMs, () => this.#stopTimedOut())
        return
      case 'arm-backoff':
        this.#arm(effect.delayMs, () => this.#apply({ type: 'backoff-elapsed' }))
        return
      case 'disarm-start-timeout':
      case 'disarm-stop-timeout':
      case 'disarm-backoff':
        this.#timer?.cancel()
        this.#timer = undefined
        return
      case 'escalate':
        this.#host.onEscalate(this.name, effect.why)
        return
      case 'eject':
        this.#host.assignments.move(this.spec, 'process', 'eject', effect.why)
        return
      case 'arm-start-timeout': // armed when its load begins
      case 'seek-lease':
      case 'drop-lease':
        return this.#host.leasing?.perform(this.spec, effect, (event) => this.#apply(event))
      default:
        assertNever(effect)
    }
  }

  #arm(delayMs: number, fn: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#host.scheduler.after(delayMs, fn)
  }

  #launch(): void {
    const { state } = this
    if (state.kind !== 'loading') return
    this.#cause = undefined
    this.#killed = false
    this.record.launched(state.wake)
    const run = this.record.runs
    this.#ticket = this.#host.admission.enter(this.spec, () => {
      if (this.record.runs !== run || this.state.kind !== 'loading') return
      this.record.startedAt = this.#host.clock.now()
      // From its turn on: what it waits for slow siblings is not its own time.
      this.#arm(this.spec.startTimeoutMs, () => this.#startTimedOut())
      this.#instance = this.#host.placementOf(this.spec).launch({
        spec: this.spec,
        index: this.index,
        run,
        wake: state.wake,
        fence: this.#host.leasing?.fenceOf(this.name),
        events: new RunEvents(this, run),
      })
    })
  }

  runLoaded(run: number, figures: LoadFigures | undefined): void {
    if (this.record.runs !== run) return
    this.#leave()
    this.record.loaded(figures, this.#host.clock.now())
    this.#apply({ type: 'loaded' })
  }

  runReady(run: number): void {
    whenHeard(this.#bus, () => this.record.runs === run && this.#apply({ type: 'ready' }))
  }

  runIdle(run: number): void {
    if (this.record.runs === run && this.state.kind === 'running') this.stop('sleep', { kind: 'sleep' })
  }

  #leave(): void {
    this.#ticket?.leave()
    this.#ticket = undefined
  }

  /** The placement calls it when the run wants a bus. */
  openBus(): ScopedBus {
    return (this.#bus = this.#host.openBus(this))
  }

  runEnded(run: number, exit: Exit): void {
    if (this.record.runs !== run) return
    this.#leave()
    const told = this.#cause ?? exit
    const failed = this.#note(told)
    // A run that was cut short for the next one may have had no time to read: what it was offered is the next one's.
    const { state } = this
    this.#release(failed || (state.kind === 'stopping' && state.after.kind === 'start'))
    this.#apply({ type: 'ended', ...told })
  }

  runCharged(run: number, exit: Exit): void {
    if (this.record.runs !== run) return
    // The first reason wins; what fails while it is being stopped is only logged.
    if (this.state.kind === 'stopping' || !this.live) {
      this.#log.warn({ event: 'error-while-stopping', verdict: exit.verdict, ...exit.evidence }, exit.text)
      return
    }
    this.#cause = exit
    if (this.state.kind === 'loading') this.#note(exit)
    const stop = exit.evidence['call'] === undefined ? 'failed' : 'process-exit'
    this.#apply({ type: 'charged', ...exit, stop })
  }

  #startTimedOut(): void {
    if (this.#bus?.acknowledged !== undefined)
      // not the worker's failure
      return this.#arm(this.spec.startTimeoutMs, () => this.#startTimedOut())
    const loading = this.state.kind === 'loading'
    this.#cause = startTimeoutExit(this.spec, loading)
    if (loading) this.#note(this.#cause)
    this.#apply({ type: 'start-timeout' })
  }

  #stopTimedOut(): void {
    // A thread or process can be ended; its end comes as the end of the run, unless the kernel is stuck as well.
    if (this.#instance?.kill !== undefined && !this.#killed) {
      this.#killed = true
      this.#instance.kill()
      this.#arm(KILL_GRACE_MS, () => this.#stopTimedOut())
      return
    }
    this.#ignoredSignal = true
    this.#apply({ type: 'stop-timeout' })
    this.#ignoredSignal = false
  }

  /** Gives the run up: while it loads nothing of it runs yet; else it ignored its signal and is named. */
  #abandon(): void {
    this.#leave()
    this.record.runs++ // whatever it still reports is not heard
    if (this.#ignoredSignal) {
      const exit = unstoppedExit(this.spec, this.#cause)
      this.#note(exit)
      this.#log.error({ event: 'unstopped', stopTimeoutMs: this.spec.stopTimeoutMs }, exit.text)
      this.record.unstopped = true
    }
    this.#release(true)
  }

  /** Returns whether it was a failure. */
  #note(exit: Exit): boolean {
    const failed = this.record.exited(exit, this.#host.clock.now())
    if (failed) this.#log.error({ event: 'exit', verdict: exit.verdict, evidence: exit.evidence }, exit.text)
    return failed
  }

  #release(failed: boolean): void {
    const leftovers = this.#instance?.release(this.#cause)
    this.#instance = undefined
    this.record.refused += this.#bus?.dropped ?? 0 // the count goes on when the run does not
    this.#bus = undefined
    if (leftovers !== undefined) reportLeftovers(this.#log, leftovers)
    this.inbox.settle(failed)
  }
}
