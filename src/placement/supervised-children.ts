// The child processes that workers' code starts in the supervisor's process, and the end of all child processes of the herd. What
// belongs to several workers (a module that they import has started it, they have used it, a shared resource) ends with the herd.

import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { reportUnendedChildren } from '../herd/leftovers.ts'
import type { Logger } from '../log/logger.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { ChildrenSink, RunningChild } from '../ownership/run-scope.ts'
import type { ChildrenEnder, EndRequest } from './end-children.ts'
import type { OpenOutputPipes, OutputPipes } from './output-pipes.ts'
import { RunningChildren } from './running-children.ts'

/** Longest time between SIGTERM and SIGKILL, ms. */
const GRACE_MS = 2000

type EndSettings = Pick<EndRequest, 'log' | 'graceMs'>
type Worker = Pick<ResolvedWorker, 'name' | 'stopTimeoutMs'>

/** Ends processes that a run has started. Resolves when that is done; never rejects. */
export type EndChildren = (worker: Worker, started: Pick<EndRequest, 'roots' | 'leader'>) => Promise<void>

export interface SupervisedChildrenOptions {
  readonly clock: Clock
  /** The log of the herd. */
  readonly log: Logger
  readonly logOf: (worker: string) => Logger
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: Uint8Array) => void
  /** Undefined where a worker has the process to itself: its children inherit stdout and stderr. */
  readonly openPipes: OpenOutputPipes | undefined
}

/** What one scope has left; its handles are closed in slices, so it grows for some turns. */
interface Left {
  readonly worker: Worker
  readonly children: RunningChild[]
  /** Number of them in the turn before. */
  seen: number
  closed: boolean
}

export class SupervisedChildren {
  readonly #options: SupervisedChildrenOptions
  /** Of this process. */
  readonly #running = new RunningChildren()
  /** Their end has been requested. */
  readonly #requested = new WeakSet<RunningChild>()
  readonly #pipes = new Map<string, OutputPipes | undefined>()
  readonly #left = new Set<Left>()
  readonly #ending = new Set<Promise<void>>()
  readonly #ender: { load(): Promise<ChildrenEnder> }

  constructor(options: SupervisedChildrenOptions) {
    this.#options = options
    this.#ender = lazyModule(async () => {
      const { ChildrenEnder } = await import('./end-children.ts')
      return new ChildrenEnder(options.clock)
    })
  }

  /** For one scope of the worker. */
  of(worker: Worker): ChildrenSink {
    const { openPipes } = this.#options
    let left: Left | undefined
    return {
      started: (child) => this.#add(child),
      end: (child) => {
        if (left === undefined || left.closed) left = this.#open(worker)
        left.children.push(child)
      },
      outputFds: openPipes && (() => this.#outputOf(worker.name, openPipes)),
    }
  }

  /** For the scope of shared resources. */
  get ofResources(): ChildrenSink {
    return { started: (child) => this.#add(child), end: () => {} }
  }

  readonly end: EndChildren = async (worker, started) =>
    this.#track(async (ender) => ender.end({ ...started, ...this.#requestFor(worker) }))

  /** The worker has stopped: closes byre's writing ends of its pipes. */
  workerStopped(worker: string): void {
    this.#pipes.get(worker)?.closeChildFds()
    this.#pipes.delete(worker)
  }

  /** Ends what is left when all workers have stopped, and waits for the end of all; at most 3 s after the longest grace. */
  async close(): Promise<void> {
    for (const left of this.#left) this.#endLeft(left)
    this.#endRunning(this.#running.all(), { log: this.#options.log, graceMs: GRACE_MS })
    while (this.#ending.size > 0) await Promise.all(this.#ending)
    for (const worker of this.#pipes.keys()) this.workerStopped(worker)
  }

  #add(child: RunningChild): void {
    this.#running.add(child)
    void this.#ender.load().catch(() => {}) // its end tries again
  }

  /** Ends what is added to it, once nothing more is added in a turn of the loop. */
  #open(worker: Worker): Left {
    const left: Left = { worker, children: [], seen: 0, closed: false }
    this.#left.add(left)
    const check = (): void => {
      if (left.closed) return
      if (left.seen === left.children.length) return this.#endLeft(left)
      left.seen = left.children.length
      setImmediate(check)
    }
    runInScope(undefined, () => setImmediate(check))
    return left
  }

  #endLeft(left: Left): void {
    left.closed = true
    this.#left.delete(left)
    this.#endRunning(left.children, this.#requestFor(left.worker))
  }

  #requestFor({ name, stopTimeoutMs }: Worker): EndSettings {
    return { log: this.#options.logOf(name), graceMs: Math.min(GRACE_MS, stopTimeoutMs) }
  }

  #endRunning(children: readonly RunningChild[], settings: EndSettings): void {
    const added = children.filter((child) => !this.#requested.has(child))
    for (const child of added) this.#requested.add(child)
    if (added.length > 0) void this.#track(async (ender) => ender.endRunning(added, settings))
  }

  async #track(end: (ender: ChildrenEnder) => Promise<void>): Promise<void> {
    const ending = runInScope(undefined, async () => end(await this.#ender.load())).catch((error: unknown) =>
      reportUnendedChildren(this.#options.log, [], describeThrown(error).message),
    )
    this.#ending.add(ending)
    return ending.finally(() => this.#ending.delete(ending))
  }

  #outputOf(worker: string, open: OpenOutputPipes): OutputPipes['childFds'] | undefined {
    // Called by a worker's code, which must not find its own context in the callbacks of the pipes.
    if (!this.#pipes.has(worker))
      this.#pipes.set(
        worker,
        runInScope(undefined, () => this.#openPipes(worker, open)),
      )
    return this.#pipes.get(worker)?.childFds
  }

  #openPipes(worker: string, open: OpenOutputPipes): OutputPipes | undefined {
    const pipes = open()
    for (const name of ['stdout', 'stderr'] as const)
      pipes?.[name].on('data', (chunk: Buffer) => this.#options.output(worker, name, chunk)).unref()
    return pipes
  }
}
