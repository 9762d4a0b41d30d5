// The facade: wires the parts of a herd together, starts them in order, and takes them down.

import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Clock, Timer } from '../base/clock.ts'
import { deferred } from '../base/deferred.ts'
import { describeThrown } from '../base/errors.ts'
import { EXIT, type ExitCode } from '../base/exit-codes.ts'
import { liftGuard } from '../base/guard-signal.ts'
import { createScheduler, type Scheduler } from '../base/scheduler.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import { logTransition } from '../log/transition.ts'
import { createOffloader, type Offloader } from '../worker/offload.ts'
import { createAdmission, type Admission } from './admission.ts'
import { runInScope } from './attribution/run-scope.ts'
import { reportHandled } from './attribution/strays.ts'
import { stackOwners, type StackOwners } from './attribution/stack.ts'
import { publishTransition, startBeats } from './beats.ts'
import { openBreadcrumb, readBreadcrumb, reportBreadcrumbFailed, type Breadcrumb } from './breadcrumb.ts'
import { createCaptures, type Captures } from './captures.ts'
import { CodeWatch } from './code-changed.ts'
import { act } from './commands.ts'
import { drain } from './drain.ts'
import { isolateCulprit } from './culprit.ts'
import type { Supervisor, SupervisorOptions } from './options.ts'
import { createPlacements, openBus } from './placement/placements.ts'
import { createSharedPlacement, type SharedPlacement } from './placement/shared.ts'
import { detached, withinMs } from './detached-clock.ts'
import { createProcessFigures, type ProcessFigures } from './process-figures.ts'
import { LateWatches, takeProcess } from './process-wide.ts'
import { holdMessages } from './hold.ts'
import { logReady } from './log-ready.ts'
import { planReload, tellRefused, tellReloaded } from './reload.ts'
import { openResidence, type Residence } from './residence.ts'
import { openResources, type Resources } from './resource-scope.ts'
import { hostedWorkers, Roster } from './roster.ts'
import type { Runner } from './runner.ts'
import { createSettler, type Settler } from './settle.ts'
import { STATUS_VERSION } from './status.ts'
import type {
  ControlCommand,
  ControlReply,
  ControlTarget,
  ProfileSource,
  SupervisorStatus,
  TransitionEvent,
} from './status.ts'

/** Tear-down waits this long for the log and the bus. */
const SINK_MS = 500
/** How long a drain after an error of byre's own code may take. */
const INTERNAL_DRAIN_MS = 10_000

export function createSupervisor(options: SupervisorOptions): Supervisor & ControlTarget {
  return new Herd(options)
}

class Herd implements Supervisor, ControlTarget {
  readonly #options: SupervisorOptions
  readonly #clock: Clock
  readonly #scheduler: Scheduler
  readonly #figures: ProcessFigures
  readonly #offloader: Offloader
  readonly #resources: Resources
  readonly #residence: Residence
  readonly #admission: Admission
  readonly #shared: SharedPlacement
  readonly #captures: Captures
  readonly #settler: Settler
  readonly #codeWatch: CodeWatch
  readonly #watches = new LateWatches()
  readonly #listeners = new Set<(event: TransitionEvent) => void>()
  readonly #exited = deferred<ExitCode>()
  readonly exited: Promise<ExitCode> = this.#exited.promise
  readonly #ready = deferred()
  readonly #roster: Roster
  readonly #startedAt: number
  #stopBeats: () => void = () => {}
  #undoProcess: () => void = () => {}
  #herd: ResolvedHerd
  #owners: StackOwners | undefined
  #breadcrumb: Breadcrumb | undefined
  #phase: 'new' | 'starting' | 'up' | 'draining' | 'down' = 'new'
  #readyMs: number | undefined
  /** The first reason to end decides; an error of byre's own code overrides it. */
  #code: ExitCode | undefined
  #deadline: Timer | undefined
  #unattributed = 0

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#herd = options.herd
    this.#clock = detached(options.clock)
    this.#startedAt = this.#clock.now()
    this.#figures = createProcessFigures(this.#clock)
    this.#scheduler = createScheduler(this.#clock, this.#figures.lateBy)
    this.#offloader = createOffloader((fn) => runInScope(undefined, fn))
    this.#codeWatch = new CodeWatch(this.#clock.monotonic)
    this.#settler = createSettler({ scheduler: this.#scheduler, clock: this.#clock, log: options.log.root })
    this.#resources = openResources(options.log.root, this.#clock, options.herd.limits.messageBytes)
    this.#captures = createCaptures((worker) => options.log.worker(worker), this.#clock)
    this.#residence = openResidence(options, this.#clock)
    this.#admission = createAdmission({
      ...options.herd.admission,
      scheduler: this.#scheduler,
      placeOf: (spec) => this.#residence.of(spec),
    })
    const runnerOf = (worker: string): Runner => this.#roster.get(worker) as Runner
    this.#shared = createSharedPlacement({
      monotonic: this.#clock.monotonic,
      random: options.random,
      scheduler: this.#scheduler,
      resources: this.#resources.pool,
      herdResources: this.#resources.port,
      offloader: this.#offloader,
      logOf: (worker) => options.log.worker(worker),
      busOf: (worker) => runnerOf(worker).openBus(),
      output: (worker, stream, chunk) => this.#captures.write(worker, stream, chunk),
      root: options.log.root,
      reportGlobals: options.mode !== 'run',
      loading: (module) => this.#codeWatch.loading(module),
      memoryShared: () => this.#residence.memoryShared(this.#roster),
    })
    const placementOf = createPlacements(this.#shared, {
      clock: this.#clock,
      options,
      runnerOf,
      captures: this.#captures,
      offloader: this.#offloader,
      resources: this.#resources,
      residence: this.#residence,
      onStalled: this.#watches.stalled,
    })
    const runnerDeps = {
      clock: this.#clock,
      random: options.random,
      scheduler: this.#scheduler,
      admission: this.#admission,
      placementOf: (spec: ResolvedWorker) => placementOf(this.#codeWatch.launching(spec, this.#residence)),
      residence: this.#residence,
      logOf: (worker: string) => options.log.worker(worker),
      bufferCapacity: options.herd.limits.buffer,
      openBus: (runner: Runner) => openBus(options.bus, runner, this.#shared),
      onTransition: (runner: Runner, event: TransitionEvent) => this.#onTransition(runner, event),
      leasing: options.leasing,
      onEscalate: (runner: Runner, why: string) => this.#escalate(runner, why),
    }
    const specs = hostedWorkers(options.herd, options)
    this.#roster = new Roster(specs, runnerDeps, { ...runnerDeps, bus: options.bus })
  }

  async start(): Promise<void> {
    this.#phase = 'starting'
    this.#take()
    this.#stopBeats = startBeats({
      bus: this.#options.bus,
      clock: this.#clock,
      scheduler: this.#scheduler,
      runners: () => this.#roster.runners(),
      onError: (error) =>
        this.#options.log.root.warn(
          { event: 'beat-failed', ...describeThrown(error) },
          'health beat not published',
        ),
    })
    await this.#roster.arm()
    this.#roster.startEager()
    this.#checkReady()
    await this.#ready.promise
  }

  async stop(by: string): Promise<void> {
    await this.#shutDown(EXIT.ok, `asked by ${by}`)
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
        runnerOf: (worker) => this.#roster.commanded(worker),
        workers: () => this.#roster.names,
        log: this.#options.log,
        clock: this.#clock,
        draining: () => this.#stopping,
        codeChanged: (runner) => this.#codeWatch.changed(runner),
        residence: this.#residence,
        admission: this.#admission,
        hold: (runner) => holdMessages(runner, this.#options.bus, this.#scheduler),
      }),
    )
  }

  profileSource(): ProfileSource {
    const { stateFolder: folder, label, ownRoot } = this.#options
    return { ...this.#residence.profiled(this.#roster), folder, label, ownRoot, clock: this.#clock }
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
      admission: this.#admission.status,
      bus: { kind: bus.kind, connections: bus.connections, ...bus.health },
      process: await this.#figures.read(),
      phases: { ...phases, ...(this.#readyMs === undefined ? {} : { readyMs: this.#readyMs }) },
      workers: Array.from(this.#roster.runners(), (runner) => ({
        ...runner.status(),
        ...this.#residence.status(runner.spec),
        ...this.#watches.statusOf(runner.name),
        ...(this.#codeWatch.changed(runner) ? { codeChanged: true } : {}),
      })),
    }
  }

  reload(next: ResolvedHerd): ReturnType<Supervisor['reload']> {
    const plan = planReload(this.#herd, next, this.#stopping)
    if (plan.refused.length === 0) {
      this.#herd = next
      this.#owners = undefined
      const names = this.#roster.apply(plan, hostedWorkers(next, this.#options))
      this.#watches.herdChanged()
      tellReloaded(this.#options.log.root, { ...names, changed: plan.changed.map(({ name }) => name) })
    } else tellRefused(this.#options.log.root, plan.refused)
    return plan.refused
  }

  get #stopping(): boolean {
    return this.#phase === 'draining' || this.#phase === 'down'
  }

  #take(): void {
    const { stateFolder, label: name, log } = this.#options
    const crumbFile = join(stateFolder, `${name}.breadcrumb`)
    const crumb = readBreadcrumb(crumbFile)
    this.#breadcrumb = openBreadcrumb(crumbFile, this.#startedAt, reportBreadcrumbFailed(log.root))
    this.#undoProcess = takeProcess({
      owners: () => this.#stackOwners(),
      runOf: (worker) => this.#shared.runOf(worker),
      breadcrumb: this.#breadcrumb,
      reportFolder: stateFolder,
      reportName: `${name}.report.json`,
      onUnattributed: (error, via) => this.#unattributedError(error, via),
      onInternal: (error, via) => this.#internalError(error, via),
      only: this.#options.mode === 'run' ? this.#roster.names[0] : undefined,
      onHandled: (error, via) => reportHandled(log.root, error, via),
    })
    isolateCulprit(crumb, {
      stateFolder,
      label: name,
      log: log.root,
      owners: () => this.#stackOwners(),
      now: this.#startedAt,
      runnerOf: (worker) => this.#roster.get(worker),
      eject: (spec, why, stalled) => this.#residence.eject(spec, why, stalled),
    })
  }

  #stackOwners(): StackOwners {
    if (this.#owners !== undefined) return this.#owners
    this.#owners = stackOwners(hostedWorkers(this.#herd, this.#options), this.#options.ownRoot)
    return this.#owners
  }

  #onTransition(runner: Runner, event: TransitionEvent): void {
    const { log, bus } = this.#options
    if (event.to === 'loading') log.activate(event.worker)
    if (event.from === 'loading' && this.#phase === 'up') this.#settler.loaded()
    logTransition(log, event)
    if (event.to === 'stopped' || event.to === 'dormant' || event.to === 'quarantined') {
      this.#captures.end(event.worker)
      log.deactivate(event.worker)
    }
    publishTransition(bus, log.root, event)
    for (const listener of this.#listeners) listener(event)
    // After the runner has acted on its own transition: others may start because of it, the herd may be ready or done.
    process.nextTick(() => this.#settle(runner))
  }

  #settle(runner: Runner): void {
    if (this.#stopping) return
    this.#roster.retryWaiting()
    this.#checkReady()
    const { kind } = runner.state
    if (this.#options.mode !== 'run' || runner.pending) return
    if (kind !== 'stopped' && kind !== 'quarantined') return
    const verdict = runner.record.lastExit?.verdict
    const well = kind === 'stopped' && (verdict === undefined || verdict === 'done' || verdict === 'stopped')
    void this.#shutDown(well ? EXIT.ok : EXIT.failed, `worker ${runner.name} is ${kind}`)
  }

  #checkReady(): void {
    if (this.#phase !== 'starting' || !this.#roster.allHadTheirStart()) return
    this.#phase = 'up'
    liftGuard()
    this.#settler.loaded()
    this.#readyMs = Math.round(this.#clock.monotonic() - this.#options.processStartedAt)
    logReady(this.#options.log.root, this.#roster, { readyMs: this.#readyMs, ...this.#options.phases })
    this.#watches.begin({
      options: this.#options,
      roster: this.#roster,
      residence: this.#residence,
      scheduler: this.#scheduler,
      entries: this.#breadcrumb,
      herd: () => this.#herd,
      profileSource: () => this.profileSource(),
    })
    this.#ready.resolve()
  }

  #escalate(runner: Runner, why: string): void {
    this.#options.log.root.fatal(
      { event: 'escalate', worker: runner.name, why },
      `worker ${runner.name} is lost and takes the herd with it`,
    )
    void this.#shutDown(EXIT.failed, `worker ${runner.name} is lost`)
  }

  #unattributedError(error: unknown, via: string): void {
    this.#options.log.root.error(
      { event: 'unattributed', via, count: ++this.#unattributed, ...describeThrown(error) },
      'an error that belongs to no worker',
    )
    if (this.#herd.onUnattributed === 'drain')
      void this.#shutDown(EXIT.failed, 'an error that belongs to no worker')
  }

  #internalError(error: unknown, via: string): void {
    this.#options.log.fatalSync(
      { event: 'internal-error', via, ...describeThrown(error) },
      "an error of byre's own code; please report it",
    )
    this.#code = EXIT.internal
    // What is broken may be what the drain stands on: past the deadline the process ends all the same.
    this.#deadline ??= this.#clock.setTimer(INTERNAL_DRAIN_MS, () => this.#end(EXIT.internal))
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

  /** Whoever waits for the start waits no longer either. */
  #end(code: ExitCode): void {
    this.#ready.resolve()
    this.#exited.resolve(code)
  }

  async #takeDown(why: string): Promise<void> {
    const { log, bus } = this.#options
    log.root.info({ event: 'draining', why }, `stopping the herd: ${why}`)
    this.#options.onDraining?.(why)
    this.#roster.disarm()
    this.#settler.close()
    const watching = this.#watches.close()
    const unstopped = await drain(this.#roster.levels(), 'shutdown')
    if (unstopped.length > 0)
      log.root.error({ event: 'unstopped', workers: unstopped }, `unstopped: ${unstopped.join(', ')}`)
    await this.#resources.whenIdle() // each dispose is bounded by itself
    log.root.info({ event: 'stopped', code: this.#code, unstopped }, 'herd is down')
    await withinMs(this.#clock, SINK_MS, Promise.allSettled([bus.close(), this.#offloader.close(), watching]))
    this.#stopBeats()
    this.#scheduler.close()
    this.#breadcrumb?.close()
    this.#phase = 'down'
    await log.flush(SINK_MS)
    this.#deadline?.cancel()
    this.#end(this.#code ?? EXIT.ok)
  }
}
