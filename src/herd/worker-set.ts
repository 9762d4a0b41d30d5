// The workers of one process: their activations, their start order and gates, and how a reload changes them.

import type { Clock } from '../base/clock.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import type { HerdDiff } from '../config/diff.ts'
import { startOrder } from '../config/order.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import type { StopKind } from '../worker/stop-reason.ts'
import { armActivation } from './activation.ts'
import type { ActivationDeps } from './activation.ts'
import { Runner } from './runner.ts'
import type { RunnerHost, Waiting } from './runner-host.ts'

/** The workers this process hosts, in config order. */
export function hostedWorkers(
  herd: ResolvedHerd,
  options: { readonly group: string | undefined; readonly only?: readonly string[] },
): ResolvedWorker[] {
  return herd.workers.filter(
    (spec) =>
      (options.group === undefined || spec.group === options.group) &&
      (options.only === undefined || options.only.includes(spec.name)),
  )
}

export class WorkerSet {
  readonly #runners = new Map<string, Runner>()
  readonly #activations = new Map<string, () => void>()
  readonly #host: RunnerHost
  readonly #activationDeps: ActivationDeps
  readonly #clock: Clock
  readonly #turns = new Map<string, Promise<void>>()
  /** Being removed by a reload. */
  readonly #leaving = new Set<string>()
  /** Workers whose start waits for their gate. */
  readonly #waiting = new Set<Waiting>()
  /** Eager workers that the readiness of the herd waits for; each leaves the set once its first attempt has ended. */
  readonly #awaited = new Set<Runner>()
  #indexes = 0
  #closed = false

  constructor(
    specs: readonly ResolvedWorker[],
    host: Omit<RunnerHost, 'gate' | 'waiting'>,
    activationDeps: ActivationDeps,
  ) {
    this.#host = { ...host, gate: (spec) => this.gate(spec), waiting: this.#waiting }
    this.#activationDeps = activationDeps
    this.#clock = host.clock
    for (const spec of specs) this.#create(spec)
  }

  get(worker: string): Runner | undefined {
    return this.#runners.get(worker)
  }
  /** For commands: a worker that a reload is removing is not found. */
  commanded(worker: string): Runner | undefined {
    return this.#leaving.has(worker) ? undefined : this.get(worker)
  }
  get names(): string[] {
    return [...this.#runners.keys()]
  }
  get size(): number {
    return this.#runners.size
  }
  /** In config order. */
  runners(): IterableIterator<Runner> {
    return this.#runners.values()
  }

  /** Why memory of this process cannot be charged to the shared loop alone: a worker lives in a thread. Undefined if none does. */
  get memoryShared(): string | undefined {
    for (const { spec, live } of this.runners())
      if (live && this.#host.assignments.of(spec) === 'thread')
        return `${spec.name} was in a thread of the same process`
    return undefined
  }

  /** Stops all workers in reverse start order, each level bounded by the stopTimeout of its workers. Resolves with the
   *  names of those that ignored their signal. */
  async stopAll(reason: StopKind): Promise<string[]> {
    const unstopped: string[] = []
    for (const level of this.levels().reverse()) {
      for (const runner of level) runner.stop(reason, { kind: 'rest' })
      await Promise.all(level.map(async (runner) => runner.whenDown()))
      unstopped.push(...level.filter((runner) => runner.record.unstopped).map((runner) => runner.name))
    }
    return unstopped
  }

  /** Arms the activation of every lazy worker. */
  async arm(): Promise<void> {
    await Promise.all([...this.#runners.values()].map(async (runner) => this.#arm(runner)))
  }

  /** From here on no worker is woken or started, and reloads in progress have no effect. */
  disarm(): void {
    this.#closed = true
    for (const release of this.#activations.values()) release()
    this.#activations.clear()
  }

  startEager(): void {
    for (const level of this.levels()) {
      for (const runner of level) if (!runner.lazy) this.#awaited.add(runner)
    }
    for (const runner of this.#awaited) if (runner.state.kind === 'stopped') this.#startFresh(runner)
  }

  /** Starts the waiting workers whose gate has opened. */
  retryWaiting(): void {
    for (const runner of this.#waiting) runner.retryPending()
  }

  /** The first attempt of every eager worker has ended. Called with each transition, so workers found done are not checked again. */
  allAttempted(): boolean {
    for (const runner of this.#awaited) {
      if (!this.firstAttemptEnded(runner)) return false
      this.#awaited.delete(runner)
    }
    return true
  }

  /** Start order by `after` and `requires`: each level may start once all earlier levels are ready. */
  levels(): Runner[][] {
    const names = startOrder([...this.#runners.values()].map((runner) => runner.spec))
    return names.map((level) => level.map((name) => this.#runners.get(name) as Runner))
  }

  /** Names of the workers that this entry still waits for. Workers of other groups are ordered by their units instead. */
  gate({ requires, after }: ResolvedWorker): readonly string[] {
    if (requires.length === 0 && after.length === 0) return NONE
    const waiting = requires.filter((name) => this.#blocks(name, true))
    return [...waiting, ...after.filter((name) => !waiting.includes(name) && this.#blocks(name, false))]
  }

  /** The worker is ready, given up or failing (its first attempt has ended), or waits for such a worker: the readiness of the
   *  herd does not wait for it any longer. */
  firstAttemptEnded(runner: Runner, asked: ReadonlySet<Runner> = new Set()): boolean {
    const { kind } = runner.state
    if (ATTEMPTED.has(kind) || runner.atRest) return true
    if (!runner.pending || asked.has(runner)) return false
    const seen = new Set(asked).add(runner)
    return this.gate(runner.spec).every((name) => {
      const other = this.#runners.get(name)
      return other === undefined || (other.state.kind !== 'running' && this.firstAttemptEnded(other, seen))
    })
  }

  #blocks(name: string, needsSuccess: boolean): boolean {
    const other = this.#runners.get(name)
    if (other === undefined) return false
    // a worker in standby runs elsewhere in the fleet
    const ready = READY.has(other.state.kind)
    const done = other.atRest && (!needsSuccess || other.record.lastExit?.verdict === 'done')
    return !ready && !done
  }

  /** Applies a reload: removed workers are stopped, added ones started, changed ones restarted, the others left alone. */
  apply(
    difference: Pick<HerdDiff, 'changed'>,
    after: readonly ResolvedWorker[],
  ): { added: string[]; removed: string[] } {
    const wanted = new Set(after.map((spec) => spec.name))
    const removed = this.names.filter((name) => !wanted.has(name))
    // A worker that is still being removed counts as added: it is created again once it is gone.
    const added = after.filter((spec) => !this.#runners.has(spec.name) || this.#leaving.has(spec.name))
    for (const name of removed) this.#leaving.add(name)
    for (const spec of added) this.#leaving.delete(spec.name)
    const changed = new Set(difference.changed.map((change) => change.name))
    for (const name of removed) this.#enqueue(name, async () => this.#remove(name))
    for (const spec of after) {
      const isNew = added.includes(spec)
      if (isNew || changed.has(spec.name))
        this.#enqueue(spec.name, async () =>
          this.#runners.has(spec.name) ? this.#reconfigure(spec) : this.#add(spec),
        )
    }
    return { added: added.map((spec) => spec.name), removed }
  }

  /** Serialises the changes of one worker over several reloads. */
  #enqueue(name: string, change: () => Promise<void>): void {
    const turn = (this.#turns.get(name) ?? Promise.resolve())
      .then(async () => (this.#closed ? undefined : change()))
      .catch((error: unknown) => this.#changeFailed(name, error))
    this.#turns.set(name, turn)
    void turn.finally(() => {
      if (this.#turns.get(name) === turn) this.#turns.delete(name)
    })
  }

  /** The entry cannot be applied. Anything but a ByreError is an error of byre's own code. */
  #changeFailed(name: string, error: unknown): void {
    if (!(error instanceof ByreError)) throw error
    this.#host.logOf(name).error({ event: 'reload-failed', ...describeThrown(error) }, error.message)
    this.#runners.get(name)?.isolate(`its entry could not be applied: ${error.message}`)
  }

  async #add(spec: ResolvedWorker): Promise<void> {
    const runner = this.#create(spec)
    await this.#arm(runner)
    if (!runner.lazy) this.#startFresh(runner)
  }

  #create(spec: ResolvedWorker): Runner {
    const runner = new Runner(spec, this.#indexes++, this.#host)
    this.#runners.set(spec.name, runner)
    return runner
  }

  async #arm(runner: Runner): Promise<void> {
    const release = await armActivation(runner, this.#activationDeps)
    if (this.#closed) return release()
    this.#activations.set(runner.name, release)
  }

  #startFresh(runner: Runner): void {
    if (!this.#closed) runner.start({ by: 'start', at: this.#clock.now() })
  }

  async #remove(name: string): Promise<void> {
    const runner = this.#runners.get(name)
    this.#activations.get(name)?.()
    this.#activations.delete(name)
    await runner?.hold(false)
    runner?.stop('reload', { kind: 'rest' }) // pending starts are dropped
    if (this.#runners.get(name) === runner) this.#runners.delete(name)
    if (runner !== undefined) this.#awaited.delete(runner)
    this.#leaving.delete(name)
  }

  async #reconfigure(spec: ResolvedWorker): Promise<void> {
    const runner = this.#runners.get(spec.name)
    if (runner === undefined) return
    // An edited entry ends a quarantine, but not a manual stop, and does not restart a worker that was done.
    await runner.hold(runner.pending || runner.state.kind !== 'stopped')
    if (this.#closed) return
    this.#activations.get(spec.name)?.()
    this.#activations.delete(spec.name)
    runner.reconfigure(spec)
    await this.#arm(runner)
    if (!this.#closed) runner.free()
  }
}

const NONE: readonly string[] = []
const READY: ReadonlySet<string> = new Set(['running', 'dormant', 'standby'])
const ATTEMPTED: ReadonlySet<string> = new Set([...READY, 'backing-off'])
