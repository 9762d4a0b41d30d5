// What placements thread and process have in common: a guest at the other end of a wire, seen by the runner as an
// Instance like any other. The end of the thread or process is the end of the run, never the guest's word alone.

import type { Timer } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { levelOfNumber } from '../log/levels.ts'
import { isLevel } from '../log/logger.ts'
import type { LogLevel } from '../log/logger.ts'
import type { StopReason } from '../worker/stop-reason.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Watch } from '../watch/sampler/sampler.ts'
import type { Heartbeat } from '../watch/stall/heartbeat.ts'
import type { HeapFigures } from '../herd/status.ts'
import type {
  Exit,
  Instance,
  LaunchRequest,
  Leftovers,
  LoadFigures,
  Placement,
  Relief,
  Whereabouts,
} from '../herd/placement.ts'
import { neverBegan } from './exits.ts'
import { brokeWire, childFault } from './wire-exits.ts'
import { startHeartbeat } from './start-heartbeat.ts'
import { startIdleWatch } from './idle-watch.ts'
import { NOT_LOADED } from './load-figures.ts'
import type { IdleWatch } from './idle-watch.ts'
import { Profiling } from './profiling.ts'
import { Relay } from './relay.ts'
import type { SpawnChild, ChildHost, ChildHandle } from './child-handle.ts'
import { wrongOf } from './wire/child-line.ts'
import { Link } from './wire/link.ts'
import { line, lineLimit, WIRE_VERSION } from './wire/protocol.ts'
import type { Ended, Init, WireLine } from './wire/protocol.ts'

/** A guest that has said its last word may take this long to be gone. */
const LEAVE_MS = 2000
/** Share of stopTimeout after which a process that does not stop is sent SIGTERM. */
const INTERRUPT_AFTER = 0.75

export function createChildPlacement(kind: Init['kind'], open: SpawnChild, parts: ChildHost): Placement {
  return {
    launch: (request) =>
      runInScope(undefined, () => {
        try {
          return new ChildRun(kind, open, request, parts)
        } catch (error) {
          return neverBegan(kind, request, error)
        }
      }),
  }
}

class ChildRun implements Instance {
  readonly #request: LaunchRequest
  readonly #parts: ChildHost
  readonly #kind: Init['kind']
  /** An unmodified program: it runs from its first line, has no ctx, and is stopped by SIGTERM. */
  readonly #script: boolean
  readonly #launchedAt: number
  readonly #seat: ChildHandle
  readonly #link: Link | undefined
  readonly #profiling = new Profiling()
  #relay: Relay | undefined
  #timer: Timer | undefined
  #idle: IdleWatch | undefined
  #heart: Heartbeat | undefined
  #said: Ended | undefined
  /** Byre's own code failed in it, or it is ended for what it said. */
  #fault: Exit | undefined
  #stopping: StopReason | undefined
  #killed = false
  #released = false
  #where: Whereabouts | undefined
  #watch: Watch | undefined

  constructor(kind: Init['kind'], open: SpawnChild, request: LaunchRequest, parts: ChildHost) {
    this.#request = request
    this.#parts = parts
    this.#kind = kind
    this.#script = request.spec.source.kind === 'script'
    this.#launchedAt = parts.clock.monotonic()
    this.#seat = open(request, parts, {
      up: (whereabouts) => this.#up(whereabouts),
      text: (text) => this.#link?.receive(text),
      posted: (posted) => this.#link?.receivePosted(posted),
      drained: () => this.#link?.drained(),
      gone: (explain) => this.#gone(explain),
    })
    const { transport } = this.#seat
    if (transport === undefined) return
    this.#link = new Link(transport, lineLimit(parts.limits.messageBytes), {
      wrong: wrongOf,
      onLine: (heard) => this.#heard(heard),
      onBroken: (error) => this.#failed('wire-broken', brokeWire(kind, error), 0),
    })
    this.#link.send(line('init', this.#init(kind)))
    this.#link.flush()
  }

  get whereabouts(): Whereabouts | undefined {
    const sample = this.#watch?.read()
    return sample === undefined ? this.#where : { ...(this.#where as Whereabouts), sample }
  }

  run(): void {
    if (this.#script || this.#link === undefined) {
      this.#request.events.ready()
      return
    }
    const { name } = this.#request.spec
    const relay = new Relay({
      now: this.#parts.clock.monotonic,
      link: this.#link,
      bus: this.#parts.busOf(name),
      answer: this.#parts.answer,
      // Work done here could end the supervisor, or fill its heap: a process keeps its own to itself.
      ...(this.#kind === 'thread' ? { offload: this.#parts.offload } : {}),
      giveBack: (deliveries) => this.#parts.giveBack(name, deliveries),
    })
    this.#relay = relay
    this.#link.send('["run"]')
    this.#link.flush()
    this.#watchIdle(relay)
    void this.#startHeartbeat(this.#link)
  }

  async #startHeartbeat(link: Link): Promise<void> {
    this.#heart = await startHeartbeat({
      kind: this.#kind,
      request: this.#request,
      parts: this.#parts,
      where: this.#where,
      link,
      over: () => this.#released || this.#said !== undefined,
    })
  }

  /** Only what a message or a tick wakes is put to sleep, and only whose config says that it may: work that nobody
   *  awaits does not show on the wire. */
  #watchIdle(relay: Relay): void {
    const { spec, events } = this.#request
    if (spec.sleepAfterMs === undefined) return
    if (spec.activation.kind === 'eager') {
      this.#parts
        .logOf(spec.name)
        .warn({ event: 'never-sleeps' }, 'sleepAfter has no effect: it is eager, so nothing would wake it')
      return
    }
    this.#idle = startIdleWatch({
      clock: this.#parts.clock,
      afterMs: spec.sleepAfterMs,
      activeAt: () => (relay.inHand > 0 ? Number.POSITIVE_INFINITY : relay.activeAt),
      ask: () => this.#link?.send('["idle"]'),
      onIdle: () => events.idle(),
    })
  }

  abort(reason: StopReason): void {
    if (this.#stopping !== undefined) return
    this.#stopping = reason
    if (this.#script) {
      this.#seat.interrupt()
      return
    }
    this.#link?.send(line('abort', reason.kind, reason.by, reason.message))
    this.#link?.flush()
    this.#after(this.#request.spec.stopTimeoutMs * INTERRUPT_AFTER, () => this.#seat.interrupt())
  }

  kill(): void {
    this.#killed = true
    this.#seat.kill()
  }

  get profile(): Instance['profile'] {
    const link = this.#link
    const { name } = this.#request.spec
    return link && (async (request) => this.#profiling.take(link, name, request, this.#parts.clock))
  }

  relieve(how: Relief): void {
    if (how === 'sleep') this.#idle?.askNow()
    else this.#link?.send('["collect"]')
  }

  setLevel(level: LogLevel | 'silent'): void {
    this.#link?.send(line('level', level))
  }

  release(): Leftovers {
    if (!this.#released) {
      this.#released = true
      this.#timer?.cancel()
      this.#seat.kill()
      this.#close(false)
    }
    return this.#said?.leftovers ?? { timers: [], listeners: [], servers: [] }
  }

  #after(delayMs: number, fn: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.setTimer(delayMs, fn, { unref: true })
  }

  #init(kind: Init['kind']): Init {
    const { spec, index, run, wake, fence } = this.#request
    const { limits, ownRoot, logOf } = this.#parts
    const { level } = logOf(spec.name)
    return { v: WIRE_VERSION, kind, spec, index, run, wake, fence, level, ...limits, ownRoot }
  }

  #up(whereabouts: Whereabouts): void {
    this.#where = whereabouts
    if (this.#released) return
    if (this.#script || this.#kind === 'process') this.#sample(whereabouts)
    if (!this.#script) return
    this.#request.events.loaded(NOT_LOADED)
  }

  #sample(where: Whereabouts): void {
    const { spec } = this.#request
    const ask = this.#link === undefined ? {} : { ask: () => this.#link?.send('["heap"]') }
    this.#watch?.close()
    this.#watch = this.#parts.sampler.watch({
      worker: spec.name,
      kind: this.#kind,
      launchedAt: this.#launchedAt,
      ...where,
      ...ask,
    })
  }

  #heard(heard: WireLine): void {
    if (this.#released || this.#relay?.heard(heard) === true) return
    const [tag, first, second, third] = heard
    const { events, spec } = this.#request
    switch (tag) {
      case 'hello':
        this.#greeted(first as number, second as number, third as number | null | undefined)
        return
      case 'loaded':
        events.loaded(first as LoadFigures)
        return
      case 'ready':
        events.ready()
        return
      case 'charged':
        events.charged(first as Exit)
        return
      case 'ended':
        this.#said = first as Ended
        this.#seat.close() // it waits for this: its last word was read
        this.#after(LEAVE_MS, () => this.#seat.kill())
        return
      case 'beat':
        this.#heart?.answered(first as number)
        return
      case 'profile':
        this.#profiling.answered(first, second, third)
        return
      case 'idle':
        this.#idle?.answered(first === true)
        return
      case 'heap':
        this.#watch?.heap(first as HeapFigures)
        return
      case 'fault':
        this.#failed('internal-error', childFault(this.#kind, first as object), LEAVE_MS)
        return
      case 'log':
        this.#log(first as Record<string, unknown>)
        return
      case 'lvl':
        if (isLevel(first)) this.#parts.logOf(spec.name).level = first
        return
      default:
        this.#parts
          .logOf(spec.name)
          .warn({ event: 'wire-unknown', tag }, 'a guest said what nobody understands')
    }
  }

  #greeted(version: number, pid: number, tid: number | null | undefined): void {
    const known = this.#where?.tid !== undefined
    if (typeof tid === 'number') this.#where = { pid, tid }
    if (this.#where !== undefined && this.#kind === 'thread') this.#sample(this.#where)
    if (version !== WIRE_VERSION) this.#seat.kill()
    // Not before: what a script does until its first turn is over, such as loading, is no stall.
    else if (this.#script && !known && this.#link !== undefined) void this.#startHeartbeat(this.#link)
  }

  #failed(event: string, fault: Exit, leaveMs: number): void {
    this.#fault = fault
    this.#after(leaveMs, () => this.#seat.kill())
    this.#parts.logOf(this.#request.spec.name).error({ event, ...fault.evidence }, fault.text)
  }

  #log(record: Record<string, unknown>): void {
    const { level, time: _time, worker: _worker, msg, ...fields } = record
    const logger = this.#parts.logOf(this.#request.spec.name)
    logger[levelOfNumber(Number(level))](fields, msg as string | undefined)
  }

  #gone(explain: () => Exit): void {
    this.#timer?.cancel()
    if (this.#released) return
    const exit = this.#withLastSample(this.#explain(explain))
    const lost = this.#close(this.#said !== undefined)
    this.#request.events.ended(
      lost === 0 ? exit : { ...exit, evidence: { ...exit.evidence, lostInHand: lost } },
    )
  }

  /** The figures from before its end: what it used when nobody could ask it any more. */
  #withLastSample(exit: Exit): Exit {
    if (exit.verdict === 'done' || exit.verdict === 'stopped') return exit
    const lastSample = this.#watch?.last()
    return lastSample === undefined ? exit : { ...exit, evidence: { ...exit.evidence, lastSample } }
  }

  /** What the guest said of its end counts; then what was done to it; then what the kernel says. */
  #explain(explain: () => Exit): Exit {
    if (this.#said !== undefined) return this.#said.exit
    const exit = this.#fault ?? explain()
    if (this.#fault !== undefined || this.#stopping === undefined) return exit
    const { stopTimeoutMs, name } = this.#request.spec
    const evidence = { ...exit.evidence, stopTimeoutMs }
    if (!this.#killed) return { verdict: 'stopped', text: 'ended with its signal', evidence }
    const text = `ignored its signal for ${formatDurationMs(stopTimeoutMs)}: its ${this.#kind} was ended`
    this.#parts.logOf(name).warn({ event: 'killed', stopTimeoutMs }, text)
    return { verdict: 'stopped', text, evidence: { ...evidence, killed: true } }
  }

  /** Lets go of wire and bus. Returns how many messages were lost with the guest. */
  #close(inOrder: boolean): number {
    const { name } = this.#request.spec
    this.#profiling.close(name)
    this.#idle?.close()
    this.#heart?.close()
    this.#watch?.close()
    const lost = this.#relay?.close(inOrder) ?? 0
    this.#relay = undefined
    this.#link?.close()
    this.#seat.close()
    if (lost > 0)
      this.#parts
        .logOf(name)
        .warn(
          { event: 'lost-in-hand', count: lost },
          `up to ${lost} messages it had in hand were lost with its ${this.#kind}`,
        )
    return lost
  }
}
