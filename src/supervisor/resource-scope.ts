// The resources workers share, and the context they live in: they belong to all who use them, so their background errors
// are charged to no worker and drain nobody; they are told, with the key where there is one.

import type { Clock } from '../base/clock.ts'
import { ByreError, describeThrown } from '../base/errors.ts'
import { parse } from '../base/json.ts'
import { lazyModule } from '../base/lazy.ts'
import { createCapture } from '../log/lines.ts'
import type { Capture } from '../log/lines.ts'
import type { Logger } from '../log/logger.ts'
import { createResourcePool } from '../worker/resources.ts'
import type { ResourceAnswer, ResourcePool, ResourcePort, ResourceQuestion } from '../worker/resources.ts'
import { createRunScope, enter, runInScope } from './attribution/run-scope.ts'
import type { RunScope } from './attribution/run-scope.ts'
import { clearLeakedTimers } from './attribution/wrap-timers.ts'
import type { HerdHold, HerdResources } from './herd-resources.ts'

/** One run's hold on the resources that are modules of their own. */
export interface ResourceHold {
  /** A ResourceAnswer as JSON text. `length`: the characters of what was asked. */
  ask(question: ResourceQuestion, values: readonly unknown[], length: number): Promise<string>
  close(): void
}

export interface HerdHolds {
  /** For one run of `worker`. */
  hold(worker: string): ResourceHold
}

/** All that workers of one supervisor share. */
export interface Resources extends HerdHolds {
  /** Made by functions of workers in the supervisor's loop. */
  readonly pool: ResourcePool
  /** `hold` for a worker in the supervisor's loop: what crosses is text here too. */
  readonly port: (worker: string) => ResourcePort
  /** Resolves when no dispose is under way; each is bounded by itself. */
  whenIdle(): Promise<void>
}

/** `limitBytes`: most bytes of the arguments of a call, and of its result. */
export function openResources(log: Logger, clock: Clock, limitBytes: number): Resources {
  const open = (): ResourcePool =>
    createResourcePool({
      asNobody: createSharedScope(log),
      clock,
      onDisposeError: (key, error) =>
        log.error(
          { event: 'dispose-failed', resource: key, ...describeThrown(error) },
          'a shared resource was not disposed',
        ),
    })
  const pool = open()
  let herdPool: ResourcePool | undefined
  const herd = lazyModule(async () => {
    const { HerdResources: House } = await import('./herd-resources.ts')
    herdPool = open()
    return new House({ pool: herdPool, log, limitBytes })
  })
  const hold = (worker: string): ResourceHold =>
    new LateHold(worker, () => runInScope(undefined, async () => herd.load()))
  return {
    pool,
    hold,
    port: (worker) => {
      const own = hold(worker)
      return {
        ask: async (question, values) =>
          parse(await own.ask(question, parse(`[${values}]`) as unknown[], values.length)) as ResourceAnswer,
        close: () => own.close(),
      }
    },
    async whenIdle() {
      await Promise.all([pool.whenIdle(), herdPool?.whenIdle()])
    },
  }
}

/** The code comes with the first question: most runs never ask. */
export class LateHold implements ResourceHold {
  readonly #worker: string
  readonly #load: () => Promise<HerdResources>
  #hold: Promise<HerdHold> | undefined
  #closed = false

  constructor(worker: string, load: () => Promise<HerdResources>) {
    this.#worker = worker
    this.#load = load
  }

  async ask(question: ResourceQuestion, values: readonly unknown[], length: number): Promise<string> {
    if (this.#closed)
      throw new ByreError(
        'BYRE_WORKER_STOPPED',
        `Cannot use a resource: the run of '${this.#worker}' has ended.`,
      )
    this.#hold ??= this.#load().then(
      (herd) => herd.enter(this.#worker),
      (error: unknown) => {
        this.#hold = undefined // the next question tries again
        throw error
      },
    )
    const hold = await this.#hold
    return hold.ask(question, values, length)
  }

  close(): void {
    this.#closed = true
    this.#hold?.then((hold) => hold.close()).catch(() => {}) // a load that failed was told to who asked
  }
}

export type InScope = <R>(fn: () => R) => R

/** Runs code of shared resources that are functions of workers. */
function createSharedScope(log: Logger): InScope {
  // No worker can have this name (src/config).
  const { scope } = openScope(log, '(shared resources)', {})
  return (fn) => enter(scope, fn)
}

/** Runs code of one value of the resource `key`. `end` names the timers it leaves behind, and clears them. */
export function createResourceScope(
  log: Logger,
  key: string,
): { readonly inScope: InScope; readonly end: () => void } {
  const { scope, close } = openScope(log, `(resource ${key})`, { resource: key })
  return {
    inScope: (fn) => enter(scope, fn),
    end() {
      const timers = clearLeakedTimers(scope).slice(0, TIMERS_NAMED_MAX)
      scope.ended = true
      if (timers.length > 0)
        log.warn({ event: 'leftovers', resource: key, timers }, 'a shared resource left timers; cleared')
      close()
    },
  }
}

const TIMERS_NAMED_MAX = 20

/** `which` is part of each line about it. */
function openScope(
  log: Logger,
  name: string,
  which: { readonly resource?: string },
): { readonly scope: RunScope; readonly close: () => void } {
  let printed: Capture | undefined
  const scope = createRunScope(name, -1, 0, {
    stray: (error, via) =>
      log.error(
        { event: 'resource-error', ...which, via, ...describeThrown(error) },
        'a shared resource threw in the background',
      ),
    exitCalled: ({ code }) =>
      log.error({ event: 'resource-exit', ...which, code }, 'a shared resource called process.exit; ignored'),
    touched: (kind, what) =>
      log.warn({ event: 'process-touched', ...which, kind }, `a shared resource: ${what}`),
    output(stream, chunk) {
      printed ??= createCapture(log.child({ resource: name, ...which }))
      printed[stream].write(chunk)
    },
  })
  scope.loading = false
  return { scope, close: () => printed?.end() }
}
