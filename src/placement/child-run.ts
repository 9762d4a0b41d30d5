// One run of a worker in a thread or process, seen from the supervisor. The run ends when the thread or process ends; the
// child's own report only explains that end.

import type { Timer } from '../base/clock.ts'
import { formatDurationMs } from '../base/durations.ts'
import { describeThrown } from '../base/errors.ts'
import { levelOfNumber } from '../log/levels.ts'
import { isLevel } from '../log/logger.ts'
import type { Logger, LogLevel } from '../log/logger.ts'
import type { StopReason } from '../worker/stop-reason.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Watch } from '../watch/sampler/sampler.ts'
import type { Heartbeat } from '../watch/stall/child-stalls.ts'
import type { HeapFigures } from '../herd/status.ts'
import { NOTHING_LEFT } from '../herd/placement.ts'
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
import { NOT_LOADED } from './loader.ts'
import { ProfileRequests, startIdleWatch } from './child-requests.ts'
import type { IdleWatch } from './child-requests.ts'
import { Relay } from './relay.ts'
import { brokeWire, childFault, neverStarted } from './child-handle.ts'
import type { ChildHandle, ChildServices, SpawnChild } from './child-handle.ts'
import { reportNoPipes } from './output-pipes.ts'
import { whyInvalid } from './wire/validate.ts'
import { Link } from './wire/link.ts'
import { clip, line, lineLimit, WIRE_VERSION } from './wire/protocol.ts'
import type { Ended, Init, WireLine } from './wire/protocol.ts'

/** A child that has reported its end is killed when it has not ended after this time. */
const LEAVE_MS = 2000
/** Share of stopTimeout after which a process that does not stop is sent SIGTERM. */
const INTERRUPT_AFTER = 0.75

export function createChildPlacement(
  kind: Init['kind'],
  spawn: SpawnChild,
  services: ChildServices,
): Placement {
  return {
    launch: (request) =>
      runInScope(undefined, () => {
        try {
          return new ChildRun(kind, spawn, request, services)
        } catch (error) {
          return neverStarted(kind, request.events, error)
        }
      }),
  }
}

class ChildRun implements Instance {
  readonly #request: LaunchRequest
  readonly #services: ChildServices
  readonly #kind: Init['kind']
  /** An unmodified program: it runs from its first line, has no ctx, and is stopped by SIGTERM. */
  readonly #script: boolean
  readonly #launchedAt: number
  readonly #handle: ChildHandle
  readonly #link: Link | undefined
  readonly #profiles = new ProfileRequests()
  #relay: Relay | undefined
  #timer: Timer | undefined
  #idle: IdleWatch | undefined
  #heartbeat: Heartbeat | undefined
  /** The child's report of its end. */
  #reported: Ended | undefined
  /** byre's own code failed in the child, or the child wrote an invalid line. */
  #fault: Exit | undefined
  #stopping: StopReason | undefined
  #killed = false
  #released = false
  #where: Whereabouts | undefined
  #watch: Watch | undefined

  constructor(kind: Init['kind'], spawn: SpawnChild, request: LaunchRequest, services: ChildServices) {
    const { name, source } = request.spec
    this.#request = request
    this.#services = services
    this.#kind = kind
    this.#script = source.kind === 'script'
    this.#launchedAt = services.clock.monotonic()
    this.#handle = spawn(request, {
      up: (whereabouts) => this.#up(whereabouts),
      output: (stream, chunk) => services.output(name, stream, chunk),
      text: (text) => this.#link?.receive(text),
      posted: (posted) => this.#link?.receivePosted(posted),
      drained: () => this.#link?.drained(),
      gone: (explain) => this.#gone(explain),
    })
    const { transport } = this.#handle
    if (transport === undefined) return
    this.#link = new Link(transport, lineLimit(services.limits.messageBytes), {
      whyInvalid,
      onLine: (received) => this.#receive(received),
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
      now: this.#services.clock.monotonic,
      link: this.#link,
      bus: this.#services.busOf(name),
      reply: this.#services.reply,
      // Work of a process could end the supervisor or fill its heap, so a process has a separate pool.
      ...(this.#kind === 'thread' ? { offload: this.#services.offload } : {}),
      giveBack: (deliveries) => this.#services.giveBack(name, deliveries),
    })
    this.#relay = relay
    this.#link.send('["run"]')
    this.#link.flush()
    this.#watchIdle(relay)
    void this.#startHeartbeat(this.#link)
  }

  /** Detects stalls of the child's loop; not without stall.detect, or where the kernel's id of the thread is unknown. */
  async #startHeartbeat(link: Link): Promise<void> {
    const { spec, events } = this.#request
    const { pid, tid } = this.#where ?? {}
    if (!spec.stall.detect || pid === undefined || tid === undefined) return
    const { watchChildStalls } = await import('../watch/stall/child-stalls.ts')
    if (this.#released || this.#reported !== undefined) return // ended while the code was loaded
    const { clock, logOf, onStall, ejectStalled } = this.#services
    this.#heartbeat = watchChildStalls({
      clock,
      spec,
      kind: this.#kind,
      pid,
      tid,
      log: logOf(spec.name),
      ping(number) {
        link.send(line('heartbeat', number))
        link.flush()
      },
      onStalled: onStall,
      eject: (why) => ejectStalled(spec, why),
      charge: (exit) => events.charged(exit),
    })
  }

  /** Only a worker that a message or a tick wakes can sleep, and only if its config permits it, because work that is not
   *  awaited is not visible on the wire. */
  #watchIdle(relay: Relay): void {
    const { spec, events } = this.#request
    if (spec.sleepAfterMs === undefined) return
    if (spec.activation.kind === 'eager') {
      this.#log.warn(
        { event: 'never-sleeps' },
        'sleepAfter has no effect: an eager worker has nothing to wake it',
      )
      return
    }
    this.#idle = startIdleWatch({
      clock: this.#services.clock,
      afterMs: spec.sleepAfterMs,
      activeAt: () => (relay.inFlight > 0 ? Number.POSITIVE_INFINITY : relay.activeAt),
      ask: () => this.#link?.send('["idle"]'),
      onIdle: () => events.idle(),
    })
  }

  abort(reason: StopReason): void {
    if (this.#stopping !== undefined) return
    this.#stopping = reason
    if (this.#script) {
      this.#handle.interrupt()
      return
    }
    this.#link?.send(line('abort', reason.kind, reason.by, reason.message))
    this.#link?.flush()
    this.#after(this.#request.spec.stopTimeoutMs * INTERRUPT_AFTER, () => this.#handle.interrupt())
  }

  kill(): void {
    this.#killed = true
    this.#handle.kill()
  }

  get profile(): Instance['profile'] {
    const link = this.#link
    const { name } = this.#request.spec
    return link && (async (request) => this.#profiles.take(link, name, request, this.#services.clock))
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
      this.#handle.kill()
      this.#close(false)
    }
    return this.#reported?.leftovers ?? NOTHING_LEFT
  }

  get #log(): Logger {
    return this.#services.logOf(this.#request.spec.name)
  }

  #after(delayMs: number, fn: () => void): void {
    this.#timer?.cancel()
    this.#timer = this.#services.clock.setTimer(delayMs, fn, { unref: true })
  }

  #init(kind: Init['kind']): Init {
    const { spec, index, run, wake, fence } = this.#request
    const { limits, ownRoot, outputFolder } = this.#services
    const { level } = this.#log
    return { v: WIRE_VERSION, kind, spec, index, run, wake, fence, level, ...limits, ownRoot, outputFolder }
  }

  #up(whereabouts: Whereabouts): void {
    this.#where = whereabouts
    if (this.#released) return
    if (this.#script || this.#kind === 'process') this.#sample(whereabouts)
    if (!this.#script) return
    this.#request.events.loaded(NOT_LOADED)
  }

  #sample(where: Whereabouts): void {
    const heap = this.#link === undefined ? {} : { requestHeap: () => this.#link?.send('["heap"]') }
    this.#watch?.close()
    this.#watch = this.#services.sampler.watch({
      worker: this.#request.spec.name,
      kind: this.#kind,
      launchedAt: this.#launchedAt,
      ...where,
      ...heap,
    })
  }

  #receive(received: WireLine): void {
    if (this.#released || this.#relay?.receive(received) === true) return
    const [tag, first, second, third] = received
    const { events } = this.#request
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
        this.#reported = first as Ended
        this.#handle.close() // the child waits for this: its final record was read
        this.#after(LEAVE_MS, () => this.#handle.kill())
        return
      case 'heartbeat':
        this.#heartbeat?.answered(first as number)
        return
      case 'profile':
        this.#profiles.answered(first, second, third)
        return
      case 'child':
        this.#handle.childStarted?.({ pid: first as number, startTicks: second as number })
        return
      case 'output':
        this.#readOutput(first as number)
        return
      case 'idle':
        this.#idle?.answered(first === true)
        return
      case 'heap':
        this.#watch?.heap(first as HeapFigures)
        return
      case 'fault':
        this.#faulted(first as { readonly stack?: unknown })
        return
      case 'log':
        this.#writeLog(first as Record<string, unknown>)
        return
      case 'lvl':
        if (isLevel(first)) this.#log.level = first
        return
      default:
        this.#log.warn({ event: 'wire-unknown', tag }, 'ignored a line of the child with an unknown tag')
    }
  }

  #greeted(version: number, pid: number, tid: number | null | undefined): void {
    const known = this.#where?.tid !== undefined
    if (typeof tid === 'number') this.#where = { pid, tid }
    if (this.#where !== undefined && this.#kind === 'thread') this.#sample(this.#where)
    if (version !== WIRE_VERSION) this.#handle.kill()
    // Not earlier: the first turn of a script, in which it loads, does not count as a stall.
    else if (this.#script && !known && this.#link !== undefined) void this.#startHeartbeat(this.#link)
  }

  #readOutput(id: number): void {
    try {
      this.#handle.readOutput?.(id)
    } catch (error) {
      reportNoPipes(this.#log, error)
    }
  }

  #faulted(said: { readonly stack?: unknown }): void {
    const stack = typeof said.stack === 'string' ? clip(said.stack) : undefined
    this.#failed('internal-error', childFault(this.#kind, describeThrown(said).message, stack), LEAVE_MS)
  }

  #failed(event: string, fault: Exit, leaveMs: number): void {
    this.#fault = fault
    this.#after(leaveMs, () => this.#handle.kill())
    this.#log.error({ event, ...fault.evidence }, fault.text)
  }

  #writeLog(record: Record<string, unknown>): void {
    const { level, time: _time, worker: _worker, msg, ...fields } = record
    this.#log[levelOfNumber(Number(level))](fields, msg as string | undefined)
  }

  #gone(explain: () => Exit): void {
    this.#timer?.cancel()
    if (this.#released) return
    const exit = this.#withLastSample(this.#explain(explain))
    const lost = this.#close(this.#reported !== undefined)
    this.#request.events.ended(
      lost === 0 ? exit : { ...exit, evidence: { ...exit.evidence, lostInHand: lost } },
    )
  }

  /** Adds the last figures from before its end: afterwards none can be read. */
  #withLastSample(exit: Exit): Exit {
    if (exit.verdict === 'done' || exit.verdict === 'stopped') return exit
    const lastSample = this.#watch?.last()
    return lastSample === undefined ? exit : { ...exit, evidence: { ...exit.evidence, lastSample } }
  }

  /** The child's own report comes first, then what the supervisor did to it, then what the kernel reports. */
  #explain(explain: () => Exit): Exit {
    if (this.#reported !== undefined) return this.#reported.exit
    const exit = this.#fault ?? explain()
    if (this.#fault !== undefined || this.#stopping === undefined) return exit
    const { stopTimeoutMs } = this.#request.spec
    const evidence = { ...exit.evidence, stopTimeoutMs }
    if (!this.#killed) return { verdict: 'stopped', text: 'ended with its signal', evidence }
    const text = `ignored its signal for ${formatDurationMs(stopTimeoutMs)}: its ${this.#kind} was ended`
    this.#log.warn({ event: 'killed', stopTimeoutMs }, text)
    return { verdict: 'stopped', text, evidence: { ...evidence, killed: true } }
  }

  /** Closes the wire and the bus. Returns how many messages were lost with the child. */
  #close(inOrder: boolean): number {
    this.#profiles.close(this.#request.spec.name)
    this.#idle?.close()
    this.#heartbeat?.close()
    this.#watch?.close()
    const lost = this.#relay?.close(inOrder) ?? 0
    this.#relay = undefined
    this.#link?.close()
    this.#handle.close()
    if (lost > 0)
      this.#log.warn(
        { event: 'lost-in-hand', count: lost },
        `up to ${lost} messages that it had not acknowledged were lost with its ${this.#kind}`,
      )
    return lost
  }
}
