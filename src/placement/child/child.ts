// The code in a thread or process that hosts one worker: it launches the worker in its own shared loop, with a bus, a log
// and an offloader that use the wire. The worker is alone there, so each uncaught error is the worker's or byre's own.

import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { systemClock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import { liftGuard } from '../../base/guard-signal.ts'
import { stringify } from '../../base/json.ts'
import { createScheduler } from '../../base/scheduler.ts'
import { createLineLogger, limitLine } from '../../log/line-logger.ts'
import type { Logger, LogLevel } from '../../log/logger.ts'
import type { OffloadOptions } from '../../worker/contract.ts'
import { createOffloader } from '../../worker/offload.ts'
import type { Offloader } from '../../worker/offload.ts'
import { createResourcePool } from '../../worker/resources.ts'
import type { ResourcePool } from '../../worker/resources.ts'
import { StopReason } from '../../worker/stop-reason.ts'
import type { StopKind } from '../../worker/stop-reason.ts'
import { guardExit } from '../../ownership/guard-exit.ts'
import { guardListeners } from '../../ownership/guard-listeners.ts'
import { runInScope } from '../../ownership/run-scope.ts'
import { stackOwners } from '../../ownership/stack.ts'
import { catchUnhandled, reportHandled } from '../../ownership/strays.ts'
import { rememberListeners } from '../../ownership/wrap-events.ts'
import { rememberTimers } from '../../ownership/wrap-timers.ts'
import { exitCalled, strayExit } from '../exits.ts'
import { NOTHING_LEFT } from '../../herd/placement.ts'
import type { Exit, Instance } from '../../herd/placement.ts'
import { IN_A_THREAD } from '../loader.ts'
import { createSharedPlacement } from '../shared.ts'
import type { SharedPlacement } from '../shared.ts'
import { Link } from '../wire/link.ts'
import type { Transport } from '../wire/link.ts'
import { clip, clipExit, line, packError, WIRE_VERSION } from '../wire/protocol.ts'
import type { Init, WireLine } from '../wire/protocol.ts'
import { answer } from './answers.ts'
import { ChildBus } from './bus.ts'
import { ReportedChildren } from './reported-children.ts'

const EXIT_INTERNAL = 70

export class Child {
  readonly link: Link
  readonly #leave: (code: number) => void
  /** In a thread. */
  #children: ReportedChildren | undefined
  #init: Init | undefined
  #log: ChildLog | undefined
  #bus: ChildBus | undefined
  #instance: Instance | undefined
  #resources: ResourcePool | undefined
  #ownPool: CountedOffloader | undefined
  #aborted = false
  #left = false

  /** `leave` ends the thread or process once everything written has been read, or after a second. */
  constructor(transport: Transport, leave: (code: number) => void) {
    this.#leave = leave
    this.link = new Link(transport, Number.POSITIVE_INFINITY, {
      onLine: (received) => this.#receive(received),
      onBroken: (error) => this.#fault(error),
      beforeFlush: () => this.#bus?.acknowledgeTaken(),
    })
  }

  /** The worker's stopTimeout; 0 before it is known. */
  get stopTimeoutMs(): number {
    return this.#init?.spec.stopTimeoutMs ?? 0
  }
  get aborted(): boolean {
    return this.#aborted
  }

  abort(reason: StopReason): void {
    this.#aborted = true
    this.#instance?.abort(reason)
    if (this.#instance === undefined) this.#leave(0)
  }

  #receive(received: WireLine): void {
    if (this.#bus?.receive(received) === true) return
    const [tag, ...values] = received
    if (tag === 'init') this.#begin(values[0] as Init)
    else if (tag === 'run') this.#instance?.run()
    else if (tag === 'abort')
      this.abort(new StopReason(values[0] as StopKind, String(values[1]), String(values[2])))
    else if (tag === 'idle')
      this.link.send(line('idle', this.#bus?.idle === true && this.#ownPool?.busy !== true))
    else if (tag === 'level') this.#log?.setLevel(values[0] as LogLevel | 'silent')
    else if (this.#init !== undefined) answer(received, (text) => this.link.send(text), this.#init)
  }

  #begin(init: Init): void {
    this.link.send(line('hello', WIRE_VERSION, process.pid, threadId()))
    if (init.v !== WIRE_VERSION) {
      this.#leave(EXIT_INTERNAL)
      return
    }
    this.#init = init
    this.#log = createChildLog(this.link, init.spec.name, init.level, systemClock.now)
    this.#bus = new ChildBus(this.link, init)
    const placement = this.#placement(this.#bus, this.#log.logger, init)
    this.#install(init, placement)
    this.#instance = placement.launch({
      spec: init.spec,
      index: init.index,
      run: init.run,
      wake: init.wake,
      fence: init.fence,
      events: {
        loaded: (figures) => this.link.send(line('loaded', figures)),
        ready: () => {
          liftGuard()
          this.link.send('["ready"]')
        },
        ended: (exit) => this.#ended(exit),
        charged: (exit) => this.link.send(line('charged', clipExit(exit))),
        idle: () => {},
      },
    })
  }

  #placement(bus: ChildBus, log: Logger, { kind, outputFolder }: Init): SharedPlacement {
    const runDetached = <R>(fn: () => R): R => runInScope(undefined, fn)
    if (kind === 'process') this.#ownPool = countRunning(createOffloader(runDetached))
    const context = {
      monotonic: systemClock.monotonic,
      random: Math.random,
      scheduler: createScheduler(systemClock),
      resources: this.#openResources(log),
      offloader: this.#ownPool ?? offloadToSupervisor(bus),
    }
    return createSharedPlacement(
      {
        context,
        logOf: () => log,
        busOf: () => bus,
        output: (_worker, stream, chunk) => void process[stream].write(chunk),
      },
      kind === 'thread'
        ? {
            memoryShared: () => IN_A_THREAD,
            childrenOf: () => (this.#children ??= new ReportedChildren(this.link, log, outputFolder)),
          }
        : { memoryShared: () => undefined },
    )
  }

  #openResources(log: Logger): ResourcePool {
    this.#resources = createResourcePool({
      runDetached: (fn) => runInScope(undefined, fn),
      clock: systemClock,
      onDisposeError: (key, error) =>
        log.error(
          { event: 'dispose-failed', resource: key, ...describeThrown(error) },
          'disposing a resource failed',
        ),
    })
    return this.#resources
  }

  #install(init: Init, placement: SharedPlacement): void {
    const { name } = init.spec
    const owners = stackOwners([init.spec], init.ownRoot)
    const stray = (error: unknown, via: string): void => {
      this.link.send(line('charged', clipExit(strayExit(error, via, init.run))))
    }
    rememberListeners()
    rememberTimers()
    process.argv = [process.execPath, init.spec.source.path]
    guardListeners(true)
    guardExit({
      ownerByStack: () => placement.runOf(name),
      onUnattributedExit: (call) => this.#ended(exitCalled(call)),
    })
    catchUnhandled({
      owners: () => owners,
      only: name,
      runOf: (worker) => placement.runOf(worker),
      onUnattributed: stray,
      onInternal: (error) => this.#fault(error),
      onHandled: (error, via) => {
        if (this.#log !== undefined) reportHandled(this.#log.logger, error, via)
      },
    })
  }

  #ended(exit: Exit): void {
    const leftovers = this.#instance?.release() ?? NOTHING_LEFT
    // Wait until the last release has disposed of its resources: the end of the thread or process would interrupt it.
    void (this.#resources?.whenIdle() ?? Promise.resolve()).then(() =>
      this.#sendFinal(line('ended', { exit: clipExit(exit), leftovers }), 0),
    )
  }

  #fault(error: unknown): void {
    const { stack } = describeThrown(error)
    this.#sendFinal(line('fault', { ...packError(error), stack: clip(stack ?? '') }), EXIT_INTERNAL)
  }

  #sendFinal(text: string, code: number): void {
    if (this.#left) return
    this.#left = true
    this.link.send(text)
    this.link.flush()
    if (this.#children === undefined) this.#leave(code)
    else void this.#children.waitedFor(systemClock).then(() => this.#leave(code))
  }
}

/** The kernel's id of this thread, where there is a /proc. */
function threadId(): number | undefined {
  try {
    return Number(basename(readlinkSync('/proc/thread-self')))
  } catch {
    return undefined
  }
}

interface ChildLog {
  readonly logger: Logger
  /** Call when the herd has set another level. */
  setLevel(level: LogLevel | 'silent'): void
}

/** ctx.log: lines are built here, at the level that the herd has set, and written by the supervisor. While the supervisor
 *  lags, lines are dropped and counted; the next line that goes out is preceded by the count. */
function createChildLog(link: Link, worker: string, level: LogLevel | 'silent', now: () => number): ChildLog {
  let dropped = 0
  let fromSupervisor = false
  const logger = createLineLogger({
    level,
    now,
    bindings: { worker }, // user fields cannot replace members of the line, so the supervisor can take it apart
    write: (text, number) => {
      if (!link.writable) {
        dropped++
        return
      }
      if (dropped > 0) {
        const count = dropped
        dropped = 0
        logger.warn(
          { event: 'log-dropped', dropped: count },
          `dropped ${count} log lines: the supervisor lagged`,
        )
      }
      link.send(`["log",${limitLine(text, number, now(), worker).trimEnd()}]`)
    },
    onLevel: (next) => {
      if (!fromSupervisor) link.send(stringify(['lvl', next]))
    },
  })
  return {
    logger,
    setLevel(next) {
      fromSupervisor = true
      logger.level = next
      fromSupervisor = false
    },
  }
}

/** ctx.offload in a thread: it shares the process of the supervisor, and therefore the supervisor's pool. */
function offloadToSupervisor(bus: ChildBus): Offloader {
  return {
    async run<T>(moduleUrl: string | URL, input: unknown, options: OffloadOptions = {}): Promise<T> {
      const answered = await bus.offload(String(moduleUrl), input, options.signal)
      if ('thrown' in answered) throw answered.thrown
      return answered.value as T
    },
    close: async () => {},
  }
}

interface CountedOffloader extends Offloader {
  /** Whether some of its work is not done, so that its worker must not be put to sleep. */
  readonly busy: boolean
}

/** ctx.offload in a process: a separate pool, so that a module that crashes, or returns more than memory holds, does not
 *  end other workers. */
function countRunning(pool: Offloader): CountedOffloader {
  let running = 0
  return {
    get busy() {
      return running > 0
    },
    async run<T>(moduleUrl: string | URL, input: unknown, options?: OffloadOptions): Promise<T> {
      running++
      try {
        return await pool.run<T>(moduleUrl, input, options)
      } finally {
        running--
      }
    },
    close: () => pool.close(),
  }
}
