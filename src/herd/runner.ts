// Supervises one worker: passes each event to the pure transition, emits the transition, then performs its effects.
// A class with prototype methods whose parts are created late, because a herd may have a thousand dormant workers.

import { assertNever } from '../base/check.ts'
import type { Timer } from '../base/clock.ts'
import type { RawDelivery, ScopedBus } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { Wake } from '../worker/contract.ts'
import { awaited, whenSubscribed } from './bus-acknowledged.ts'
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
import { isDown, isLive } from './state.ts'
import type { AfterStop, Effect, Supervised, WorkerState } from './state.ts'
import type { WorkerStatus } from './status.ts'

/** A killed process that has not ended after this time makes its worker unstopped. */
const KILL_GRACE_MS = 5000

export class Runner implements RunListener {
  spec: ResolvedWorker
  readonly index: number
  /** Messages kept for the worker; the bus of a run claims from it and returns unread ones. */
  readonly inbox: Inbox
  /** Counters, timestamps and the last exit, for the status. */
  readonly record: WorkerRecord = new WorkerRecord()
  readonly #host: RunnerHost
  #supervised: Supervised
  #instance: Instance | undefined
  #bus: ScopedBus | undefined
  #ticket: Ticket | undefined
  /** The timeout or backoff of the current state; no state has two. */
  #timer: Timer | undefined
  /** The wake of a start that waits for the gate. */
  #pending: Wake | undefined
  /** The exit that caused the stop in progress, if one did. */
  #cause: Exit | undefined
  #ignoredSignal = false
  /** The instance was killed because it did not stop. */
  #killed = false
  #downWaiters: (() => void)[] | undefined
  /** A start or a stop has been requested. */
  #requested = false
  /** A reload is changing the entry: requests to start are deferred. */
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
  /** The number of the latest run and its current subscriptions. */
  get listening(): { readonly run: number; readonly patterns: readonly string[] } {
    return { run: this.record.runs, patterns: this.#bus?.patterns ?? [] }
  }
  /** A start waits for the gate. */
  get pending(): boolean {
    return this.#pending !== undefined
  }

  /** Nothing runs and no start is pending: satisfies `after` of other workers, as being ready does. */
  get atRest(): boolean {
    const { kind } = this.state
    return (kind === 'stopped' && this.#requested && !this.pending) || kind === 'quarantined'
  }

  /** Starts the worker, or defers the start until its gate opens. */
  start(wake: Wake): void {
    this.#requested = true
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

  /** Starts the worker if its gate has opened. */
  retryPending(): void {
    const wake = this.#pending
    if (wake !== undefined && this.#host.gate(this.spec).length === 0) this.start(wake)
  }

  /** A period or cron date is due. Skipped and counted unless the worker is dormant. */
  tick(): void {
    if (this.state.kind === 'dormant' && this.#pending === undefined) this.start(this.#wake('tick'))
    else this.record.ticksSkipped++
  }

  #wake(by: Wake['by']): Wake {
    return { by, at: this.#host.clock.now() }
  }

  /** A message on an activation topic: kept unless an open subscription of the run covers it. */
  deliver(delivery: RawDelivery): void {
    if (!this.#held && isDown(this.state)) {
      this.record.refused++ // stopped by hand or quarantined: no message is accepted on its behalf
      return
    }
    if (this.#bus?.covers(delivery.topic) === true) return
    this.inbox.keep(delivery)
    if (this.state.kind === 'dormant') this.start(this.#wake('topic'))
  }

  stop(reason: StopKind, after: AfterStop): void {
    if (this.#held && after.kind === 'start') return this.start(after.wake)
    this.#requested = true
    this.#wait(undefined)
    this.record.unstopped = false
    this.#apply({ type: 'stop', reason, after })
  }

  /** Stops the worker for a change of its entry: until `free` nothing starts it and its messages are kept. `wanted`: it is
   *  to start again afterwards. Resolves when nothing of it runs. */
  async hold(wanted: boolean): Promise<void> {
    this.stop('reload', { kind: 'rest' })
    this.#held = true
    if (wanted) this.#wait(this.#wake('start'))
    await this.whenDown()
  }

  /** Replaces the entry of a held worker. A lazy worker that is to start again waits for its activation or a command. */
  reconfigure(spec: ResolvedWorker): void {
    const from = this.state
    this.spec = spec
    const asleep = this.lazy && this.pending
    if (asleep && this.#pending?.by === 'start') this.#wait(undefined)
    this.#supervised = { state: { kind: asleep ? 'dormant' : 'stopped' }, history: NO_FAILURES }
    if (from.kind !== this.state.kind) this.#moved(from, this.state, 'reload')
  }

  /** Ends the hold: deferred starts and kept messages take effect. */
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

  /** The current run, for operations of its placement. */
  get instance(): Instance | undefined {
    return this.#instance
  }

  /** Resolves when nothing of the worker runs. */
  async whenDown(): Promise<void> {
    if (!this.live) return
    await new Promise<void>((resolve) => void (this.#downWaiters ??= []).push(resolve))
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
    if (isDown(this.state)) this.#host.retire(this.spec)
    if (isLive(from) && !this.live) {
      const waiting = this.#downWaiters ?? []
      this.#downWaiters = undefined
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
        this.inbox.offer() // includes messages that arrived during the load
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
      // From its admission on: time spent waiting for slow siblings does not count.
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
    whenSubscribed(this.#bus, () => this.record.runs === run && this.#apply({ type: 'ready' }))
  }

  runIdle(run: number): void {
    if (this.record.runs === run && this.state.kind === 'running') this.stop('sleep', { kind: 'sleep' })
  }

  #leave(): void {
    this.#ticket?.leave()
    this.#ticket = undefined
  }

  /** Called by the placement when the run needs a bus. */
  openBus(): ScopedBus {
    return (this.#bus = this.#host.openBus(this))
  }

  runEnded(run: number, exit: Exit): void {
    if (this.record.runs !== run) return
    this.#leave()
    const final = this.#cause ?? exit
    const failed = this.#note(final)
    // A run that was stopped in favour of the next one may have had no time to read: its offered messages stay.
    const { state } = this
    this.#release(failed || (state.kind === 'stopping' && state.after.kind === 'start'))
    this.#apply({ type: 'ended', ...final })
  }

  runCharged(run: number, exit: Exit): void {
    if (this.record.runs !== run) return
    // The first cause decides; errors during a stop are only logged.
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
    // A bus that does not acknowledge is not the worker's fault.
    if (this.#bus?.acknowledged !== undefined)
      return this.#arm(this.spec.startTimeoutMs, () => this.#startTimedOut())
    const loading = this.state.kind === 'loading'
    this.#cause = startTimeoutExit(this.spec, loading)
    if (loading) this.#note(this.#cause)
    this.#apply({ type: 'start-timeout' })
  }

  #stopTimedOut(): void {
    // A thread or process can be killed. Its end arrives as the end of the run, unless the kernel is stuck too.
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

  /** Abandons the run. If it was loading, nothing of it runs yet; otherwise it ignored its signal and is unstopped. */
  #abandon(): void {
    this.#leave()
    this.record.runs++ // later reports of the abandoned run are ignored
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
    this.record.refused += this.#bus?.dropped ?? 0 // the count outlives the run
    this.#bus = undefined
    if (leftovers !== undefined) reportLeftovers(this.#log, leftovers)
    this.inbox.endRun(failed)
  }
}
