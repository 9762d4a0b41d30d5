// A worker's half of placements thread and process: the same launch as in the supervisor's own loop, with a bus and a
// log that speak to the host. Nobody else lives here, so every error nobody caught is the worker's, or byre's own.

import { readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { systemClock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import { liftGuard } from '../../base/guard-signal.ts'
import { createScheduler } from '../../base/scheduler.ts'
import type { LogLevel } from '../../log/logger.ts'
import { createOffloader } from '../../worker/offload.ts'
import { createResourcePool } from '../../worker/resources.ts'
import type { ResourcePool } from '../../worker/resources.ts'
import { StopReason } from '../../worker/stop-reason.ts'
import type { StopKind } from '../../worker/stop-reason.ts'
import { guardExit } from '../../ownership/guard-exit.ts'
import { runInScope } from '../../ownership/run-scope.ts'
import { stackOwners } from '../../ownership/stack.ts'
import { catchUnhandled, reportHandled } from '../../ownership/strays.ts'
import { rememberListeners } from '../../ownership/wrap-events.ts'
import { rememberTimers } from '../../ownership/wrap-timers.ts'
import { exitCalled, strayExit } from '../exits.ts'
import type { Exit, Instance } from '../../herd/placement.ts'
import { IN_A_THREAD } from '../load-figures.ts'
import { createSharedPlacement } from '../shared.ts'
import type { SharedPlacement } from '../shared.ts'
import { Link } from '../wire/link.ts'
import type { Transport } from '../wire/link.ts'
import { clip, clipExit, line, packError, WIRE_VERSION } from '../wire/protocol.ts'
import type { Init, WireLine } from '../wire/protocol.ts'
import { answer } from './answers.ts'
import { ChildBus } from './bus.ts'
import { createChildLog } from './log.ts'
import type { ChildLog } from './log.ts'
import { counted, offloadToHost } from './offload.ts'
import type { CountedOffloader } from './offload.ts'

/** What the thread or process gives its guest. */
export interface ChildTransport {
  readonly transport: Transport
  /** Ends the thread or process once everything written has been read, or a second has passed. */
  leave(code: number): void
}

const EXIT_INTERNAL = 70

export class Child {
  readonly link: Link
  readonly #seat: ChildTransport
  #init: Init | undefined
  #log: ChildLog | undefined
  #bus: ChildBus | undefined
  #instance: Instance | undefined
  #resources: ResourcePool | undefined
  #ownPool: CountedOffloader | undefined
  #aborted = false
  #left = false

  constructor(seat: ChildTransport) {
    this.#seat = seat
    this.link = new Link(seat.transport, Number.POSITIVE_INFINITY, {
      onLine: (heard) => this.#heard(heard),
      onBroken: (error) => this.#fault(error),
      beforeFlush: () => this.#bus?.tellTaken(),
    })
  }

  /** Milliseconds the worker may take to stop; 0 before it is known. */
  get stopTimeoutMs(): number {
    return this.#init?.spec.stopTimeoutMs ?? 0
  }
  get aborted(): boolean {
    return this.#aborted
  }

  abort(reason: StopReason): void {
    this.#aborted = true
    this.#instance?.abort(reason)
    if (this.#instance === undefined) this.#seat.leave(0)
  }

  #heard(heard: WireLine): void {
    if (this.#bus?.heard(heard) === true) return
    const [tag, ...values] = heard
    if (tag === 'init') this.#begin(values[0] as Init)
    else if (tag === 'run') this.#instance?.run()
    else if (tag === 'abort')
      this.abort(new StopReason(values[0] as StopKind, String(values[1]), String(values[2])))
    else if (tag === 'idle')
      this.link.send(line('idle', this.#bus?.idle === true && this.#ownPool?.busy !== true))
    else if (tag === 'level') this.#log?.setLevel(values[0] as LogLevel | 'silent')
    else if (this.#init !== undefined) answer(heard, (text) => this.link.send(text), this.#init)
  }

  #begin(init: Init): void {
    this.link.send(line('hello', WIRE_VERSION, process.pid, threadId()))
    if (init.v !== WIRE_VERSION) {
      this.#seat.leave(EXIT_INTERNAL)
      return
    }
    this.#init = init
    this.#log = createChildLog(this.link, init.spec.name, init.level, systemClock.now)
    this.#bus = new ChildBus(this.link, init)
    const placement = this.#placement(this.#bus, this.#log, init.kind)
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

  #placement(bus: ChildBus, log: ChildLog, kind: Init['kind']): SharedPlacement {
    const runDetached = <R>(fn: () => R): R => runInScope(undefined, fn)
    if (kind === 'process') this.#ownPool = counted(createOffloader(runDetached))
    return createSharedPlacement({
      monotonic: systemClock.monotonic,
      random: Math.random,
      scheduler: createScheduler(systemClock),
      resources: this.#openResources(log),
      offloader: this.#ownPool ?? offloadToHost(bus),
      logOf: () => log.logger,
      busOf: () => bus,
      output: (_worker, stream, chunk) => void process[stream].write(chunk),
      root: log.logger,
      reportGlobals: false,
      memoryShared: () => (kind === 'thread' ? IN_A_THREAD : undefined),
    })
  }

  #openResources(log: ChildLog): ResourcePool {
    this.#resources = createResourcePool({
      runDetached: (fn) => runInScope(undefined, fn),
      clock: systemClock,
      onDisposeError: (key, error) =>
        log.logger.error(
          { event: 'dispose-failed', resource: key, ...describeThrown(error) },
          'a resource was not disposed',
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
    guardExit({
      ownerByStack: () => placement.runOf(name),
      onUnattributedExit: (call) => this.#ended(exitCalled(call)),
      beforeAbort: () => {},
    })
    catchUnhandled(
      {
        owners: () => owners,
        only: name,
        runOf: (worker) => placement.runOf(worker),
        onUnattributed: stray,
        onInternal: (error) => this.#fault(error),
      },
      (error, via) => this.#log !== undefined && reportHandled(this.#log.logger, error, via),
    )
  }

  #ended(exit: Exit): void {
    const leftovers = this.#instance?.release() ?? { timers: [], listeners: [], servers: [] }
    // The end of the thread or process must not cut off what the last release disposes of.
    void (this.#resources?.whenIdle() ?? Promise.resolve()).then(() =>
      this.#say(line('ended', { exit: clipExit(exit), leftovers }), 0),
    )
  }

  #fault(error: unknown): void {
    const { stack } = describeThrown(error)
    this.#say(line('fault', { ...packError(error), stack: clip(stack ?? '') }), EXIT_INTERNAL)
  }

  #say(last: string, code: number): void {
    if (this.#left) return
    this.#left = true
    this.link.send(last)
    this.link.flush()
    this.#seat.leave(code)
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
