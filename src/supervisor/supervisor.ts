// The facade of a herd: starts its parts in order, answers control commands and status requests, and shuts down.

import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Timer } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { describeThrown } from '../base/errors.ts'
import { EXIT, type ExitCode } from '../base/exit-codes.ts'
import { liftGuard } from '../base/guard-signal.ts'
import type { ResolvedHerd } from '../config/types.ts'
import { act } from '../control/actions.ts'
import { publishTransition, startHealth } from '../control/health.ts'
import {
  openBreadcrumb,
  readBreadcrumb,
  reportBreadcrumbFailed,
  type Breadcrumb,
} from '../herd/breadcrumb.ts'
import { isolateCulprit } from '../herd/isolate-culprit.ts'
import { holdMessages } from '../herd/message-hold.ts'
import { logReady } from '../herd/ready-line.ts'
import { planReload, reportReloadRefused, reportReloaded } from '../herd/reload.ts'
import {
  STATUS_VERSION,
  type ControlCommand,
  type ControlReply,
  type ControlTarget,
  type ProfileSource,
  type SupervisorStatus,
  type TransitionEvent,
} from '../herd/status.ts'
import { hostedWorkers } from '../herd/worker-set.ts'
import { logTransition } from '../log/transition.ts'
import { withinMs } from '../ownership/detached-clock.ts'
import { installProcessWide } from '../ownership/process-wide.ts'
import { runInScope } from '../ownership/run-scope.ts'
import { reportHandled, reportLate } from '../ownership/strays.ts'
import { profileSource } from '../watch/watches.ts'
import type { Watches } from '../watch/watches.ts'
import type { Supervisor, SupervisorOptions } from './options.ts'
import { wire, type Parts } from './wire.ts'

/** The shutdown waits this long for the bus and the log. */
const SINK_MS = 500
/** Deadline of a shutdown after an error of byre's own code. */
const INTERNAL_DRAIN_MS = 10_000

export function createSupervisor(options: SupervisorOptions): Supervisor & ControlTarget {
  return new Herd(options)
}

class Herd implements Supervisor, ControlTarget {
  readonly #options: SupervisorOptions
  readonly #parts: Parts
  readonly #listeners = new Set<(event: TransitionEvent) => void>()
  readonly #exited = deferred<ExitCode>()
  readonly exited: Promise<ExitCode> = this.#exited.promise
  readonly #ready = deferred()
  readonly #startedAt: number
  #stopHealth: () => void = () => {}
  #undoProcess: () => void = () => {}
  #herd: ResolvedHerd
  #breadcrumb: Breadcrumb | undefined
  #phase: 'new' | 'starting' | 'up' | 'draining' | 'down' = 'new'
  #readyMs: number | undefined
  /** The first reason for the shutdown decides; an error of byre's own code overrides it. */
  #code: ExitCode | undefined
  #deadline: Timer | undefined
  #unattributed = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#herd = options.herd
    this.#parts = wire(options, {
      onTransition: (event) => this.#onTransition(event),
      onEscalate: (worker, why) => this.#escalate(worker, why),
      hosted: () => hostedWorkers(this.#herd, options),
    })
    this.#startedAt = this.#parts.clock.now()
  }

  async start(): Promise<void> {
    this.#phase = 'starting'
    await this.#take()
    this.#stopHealth = startHealth({
      bus: this.#options.bus,
      clock: this.#parts.clock,
      scheduler: this.#parts.scheduler,
      runners: () => this.#parts.workers.runners(),
      onError: (error) =>
        this.#options.log.root.warn(
          { event: 'health-not-published', ...describeThrown(error) },
          'a health message could not be published',
        ),
    })
    await this.#parts.workers.arm()
    this.#parts.workers.startEager()
    this.#checkReady()
    await this.#ready.promise
  }

  async stop(by: string): Promise<void> {
    await this.#shutDown(EXIT.ok, `requested by ${by}`)
  }

  abandon(): void {
    this.#breadcrumb?.close()
  }

  release(): void {
    this.#undoProcess()
  }

  onTransition(listener: (event: TransitionEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  act(command: ControlCommand): ControlReply {
    return runInScope(undefined, () =>
      act(command, {
        runnerOf: (worker) => this.#parts.workers.commanded(worker),
        workers: () => this.#parts.workers.names,
        log: this.#options.log,
        clock: this.#parts.clock,
        draining: () => this.#stopping,
        codeChanged: (runner) => this.#parts.codeWatch.changed(runner),
        assignments: this.#parts.assignments,
        admission: this.#parts.admission,
        hold: (runner) => holdMessages(runner, this.#options.bus, this.#parts.scheduler),
      }),
    )
  }

  profileSource(): ProfileSource {
    const { stateFolder: folder, label } = this.#options
    const { workers, assignments, codeOwners, clock } = this.#parts
    return profileSource(workers, assignments, { folder, label, clock, codeOwners })
  }

  async status(): Promise<SupervisorStatus> {
    const { bus, phases, label } = this.#options
    return {
      version: STATUS_VERSION,
      host: hostname(),
      herd: this.#herd.name,
      group: label,
      pid: process.pid,
      startedAt: this.#startedAt,
      ...(this.#phase === 'new' ? {} : { phase: this.#phase }),
      admission: this.#parts.admission.status,
      bus: { kind: bus.kind, connections: bus.connections, ...bus.health },
      process: await this.#parts.figures.read(),
      phases: { ...phases, ...(this.#readyMs === undefined ? {} : { readyMs: this.#readyMs }) },
      workers: Array.from(this.#parts.workers.runners(), (runner) => ({
        ...runner.status(),
        ...this.#parts.assignments.status(runner.spec),
        ...this.#parts.watches.statusOf(runner.name),
        ...(this.#parts.codeWatch.changed(runner) ? { codeChanged: true } : {}),
      })),
    }
  }

  reload(next: ResolvedHerd): ReturnType<Supervisor['reload']> {
    const plan = planReload(this.#herd, next, this.#stopping)
    if (plan.refused.length === 0) {
      this.#herd = next
      this.#parts.codeOwners.herdChanged()
      const names = this.#parts.workers.apply(plan, hostedWorkers(next, this.#options))
      this.#parts.watches.herdChanged()
      reportReloaded(this.#options.log.root, { ...names, changed: plan.changed.map(({ name }) => name) })
    } else reportReloadRefused(this.#options.log.root, plan.refused)
    return plan.refused
  }

  get #stopping(): boolean {
    return this.#phase === 'draining' || this.#phase === 'down'
  }

  async #take(): Promise<void> {
    const { stateFolder, label: name, log } = this.#options
    const crumbFile = join(stateFolder, `${name}.breadcrumb`)
    const crumb = readBreadcrumb(crumbFile)
    this.#breadcrumb = openBreadcrumb(crumbFile, this.#startedAt, reportBreadcrumbFailed(log.root))
    this.#undoProcess = installProcessWide({
      owners: () => this.#parts.codeOwners.get(),
      runOf: (worker) => this.#parts.shared.runOf(worker),
      breadcrumb: this.#breadcrumb,
      reportFolder: stateFolder,
      reportName: `${name}.report.json`,
      onUnattributed: (error, via) => this.#unattributedError(error, via),
      onInternal: (error, via) => this.#internalError(error, via),
      only: this.#options.mode === 'run' ? this.#parts.workers.names[0] : undefined,
      onHandled: (error, via, worker) =>
        reportHandled(worker === undefined ? log.root : log.about(worker), error, via),
      several: {
        readImports: async () => this.#parts.codeOwners.read(),
        onLate: (error, via, worker) => reportLate(log.about(worker), error, via),
      },
    })
    await isolateCulprit(crumb, {
      stateFolder,
      label: name,
      log: log.root,
      codeOwners: this.#parts.codeOwners,
      now: this.#startedAt,
      runnerOf: (worker) => this.#parts.workers.get(worker),
      eject: (spec, why, stalled) => this.#parts.assignments.eject(spec, why, stalled),
    })
  }

  #onTransition(event: TransitionEvent): void {
    const { log, bus } = this.#options
    if (event.to === 'loading') log.activate(event.worker)
    if (event.from === 'loading' && this.#phase === 'up') this.#parts.collector.loaded()
    logTransition(log, event)
    if (event.to === 'stopped' || event.to === 'dormant' || event.to === 'quarantined') {
      this.#parts.captures.end(event.worker)
      log.deactivate(event.worker)
    }
    publishTransition(bus, log.root, event)
    for (const listener of this.#listeners) listener(event)
    // Called after the runner has performed the effects: other workers may start because of them, the herd may be ready or done.
    process.nextTick(() => this.#afterTransition(event.worker))
  }

  #afterTransition(worker: string): void {
    if (this.#stopping) return
    this.#parts.workers.retryWaiting()
    this.#checkReady()
    const runner = this.#parts.workers.get(worker)
    if (this.#options.mode !== 'run' || runner === undefined || runner.pending) return
    const { kind } = runner.state
    if (kind !== 'stopped' && kind !== 'quarantined') return
    const verdict = runner.record.lastExit?.verdict
    const well = kind === 'stopped' && (verdict === undefined || verdict === 'done' || verdict === 'stopped')
    void this.#shutDown(well ? EXIT.ok : EXIT.failed, `worker ${runner.name} is ${kind}`)
  }

  #checkReady(): void {
    if (this.#phase !== 'starting' || !this.#parts.workers.allAttempted()) return
    this.#phase = 'up'
    liftGuard()
    this.#parts.collector.loaded()
    this.#readyMs = Math.round(this.#parts.clock.monotonic() - this.#options.processStartedAt)
    logReady(this.#options.log.root, this.#parts.workers, { readyMs: this.#readyMs, ...this.#options.phases })
    this.#parts.watches.begin(...this.#watchDeps())
    this.#ready.resolve()
  }

  #watchDeps(): Parameters<Watches['begin']> {
    const { bus, log, stateFolder, label, mode } = this.#options
    const herd = {
      bus,
      workers: this.#parts.workers,
      assignments: this.#parts.assignments,
      scheduler: this.#parts.scheduler,
    }
    const memory = {
      ...herd,
      clock: this.#parts.clock,
      log: log.root,
      herd: () => this.#herd,
      profileSource: () => this.profileSource(),
    }
    const { codeOwners } = this.#parts
    const stalls = { ...herd, log, stateFolder, label, codeOwners, entries: this.#breadcrumb }
    return [stalls, mode === 'run' ? undefined : memory] // `byre run`: the limits of a group do not apply to one worker
  }

  #escalate(worker: string, why: string): void {
    this.#options.log.root.fatal(
      { event: 'escalate', worker, why },
      `critical worker ${worker} is lost: the herd stops`,
    )
    void this.#shutDown(EXIT.failed, `worker ${worker} is lost`)
  }

  #unattributedError(error: unknown, via: string): void {
    this.#options.log.root.error(
      { event: 'unattributed', via, count: ++this.#unattributed, ...describeThrown(error) },
      'an error could not be attributed to a worker',
    )
    if (this.#herd.onUnattributed === 'drain')
      void this.#shutDown(EXIT.failed, 'an error could not be attributed to a worker')
  }

  #internalError(error: unknown, via: string): void {
    this.#options.log.fatalSync(
      { event: 'internal-error', via, ...describeThrown(error) },
      "an error of byre's own code; please report it",
    )
    this.#code = EXIT.internal
    // The shutdown may depend on what is broken: after the deadline the process ends regardless.
    this.#deadline ??= this.#parts.clock.setTimer(INTERNAL_DRAIN_MS, () => this.#end(EXIT.internal))
    void this.#shutDown(EXIT.internal, "an error of byre's own code")
  }

  async #shutDown(code: ExitCode, why: string): Promise<void> {
    if (this.#stopping) return void (await this.#exited.promise)
    this.#phase = 'draining'
    this.#code ??= code
    await runInScope(undefined, async () => this.#takeDown(why)).catch((error: unknown) => {
      this.#internalError(error, 'shutdown')
      this.#end(EXIT.internal)
    })
  }

  /** Also ends a wait for the start. */
  #end(code: ExitCode): void {
    this.#ready.resolve()
    this.#exited.resolve(code)
  }

  async #takeDown(why: string): Promise<void> {
    const { log, bus } = this.#options
    log.root.info({ event: 'draining', why }, `stopping the herd: ${why}`)
    this.#options.onDraining?.(why)
    this.#parts.workers.disarm()
    this.#parts.collector.close()
    const watching = this.#parts.watches.close()
    const unstopped = await this.#parts.workers.stopAll('shutdown')
    if (unstopped.length > 0)
      log.root.error({ event: 'unstopped', workers: unstopped }, `unstopped: ${unstopped.join(', ')}`)
    this.#parts.codeOwners.close()
    // Each dispose has its own timeout, each child process its grace.
    await Promise.all([this.#parts.resources.whenIdle(), this.#parts.children.close()])
    log.root.info({ event: 'stopped', code: this.#code, unstopped }, 'herd is down')
    await withinMs(
      this.#parts.clock,
      SINK_MS,
      Promise.allSettled([bus.close(), this.#parts.offloader.close(), watching]),
    )
    this.#stopHealth()
    this.#parts.scheduler.close()
    this.#breadcrumb?.close()
    this.#phase = 'down'
    await log.flush(SINK_MS)
    this.#deadline?.cancel()
    this.#end(this.#code ?? EXIT.ok)
  }
}
