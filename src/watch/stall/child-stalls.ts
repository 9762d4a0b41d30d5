// Stalls of workers in separate threads or processes. The supervisor pings such a loop over the child's wire, only while
// /proc shows that it is not idle, so that an idle child is never woken. A stall is reported without a stack: the worker is
// alone in its loop, so its name is known. With onStall: 'eject' its run is ended with the verdict `stalled`.
// Loaded with the first such worker that has stall.detect.

import type { Clock, Timer } from '../../base/clock.ts'
import { formatDurationMs } from '../../base/durations.ts'
import { describeThrown } from '../../base/errors.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { Logger } from '../../log/logger.ts'
import type { Exit } from '../../herd/placement.ts'
import { LineBudget } from '../line-budget.ts'
import { checkPeriodMs, IdleEpoll, openEpollReader, StallDetector } from './detector.ts'
import type { ReadEpoll } from './detector.ts'
import type { StallLog } from './investigate.ts'
import type { Stall } from './protocol.ts'

export interface ChildStallOptions {
  readonly clock: Clock
  readonly spec: ResolvedWorker
  readonly kind: 'thread' | 'process'
  readonly pid: number
  /** The kernel's id of the loop's thread. */
  readonly tid: number
  readonly log: Logger
  /** Sends ping `number` to the child. */
  readonly ping: (number: number) => void
  /** Called with each stall that is over. */
  readonly onStalled: (stall: Stall) => void
  /** Assigns the worker to a separate process from its next run on. */
  readonly eject: (why: string) => void
  readonly charge: (exit: Exit) => void
}

/** The heartbeat of one run of one worker. */
export interface Heartbeat {
  /** Call when the child has answered ping `number`. */
  answered(number: number): void
  close(): void
}

/** A stall in progress. */
interface Block {
  /** The loop has been blocked for at least this long. */
  blockedMs(): number
  /** Whether the loop answers again or no longer exists. */
  over(): boolean
  /** Whether the run ended during the stall. */
  gone(): boolean
}

/** See docs/decisions.md, Stalls and the inspector. */
const NO_STACK = 'the inspector of a thread or process whose loop is blocked can crash it'
const CHECK_STALLED_MS = 1000

/** Shared by all workers and their runs. */
const budget = new LineBudget()

export function watchChildStalls(options: ChildStallOptions): Heartbeat {
  return new ChildHeartbeat(options)
}

class ChildHeartbeat implements Heartbeat {
  readonly #options: ChildStallOptions
  readonly #readEpoll: ReadEpoll | undefined
  readonly #idleEpoll = new IdleEpoll()
  readonly #detector: StallDetector
  #timer: Timer | undefined
  #closed = false
  #answered = 0
  #pinged: { readonly number: number; readonly atMs: number; readonly epoll: string | undefined } | undefined
  /** The reported stall, while it lasts. */
  #block: Block | undefined

  constructor(options: ChildStallOptions) {
    this.#options = options
    this.#readEpoll = openEpollReader(options.pid, options.tid)
    const { afterMs } = options.spec.stall
    const periodMs = checkPeriodMs(afterMs, this.#readEpoll !== undefined)
    this.#detector = new StallDetector({ afterMs, periodMs })
    this.#check()
  }

  answered(number: number): void {
    this.#answered = number
    const nowMs = this.#options.clock.monotonic()
    if (this.#pinged?.number === number) this.#idleEpoll.learn(this.#pinged.epoll, nowMs - this.#pinged.atMs)
    this.#pinged = undefined
    this.#block = undefined
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #check(): void {
    if (this.#closed) return
    const { clock, ping } = this.#options
    const nowMs = clock.monotonic()
    const epoll = this.#readEpoll?.()
    const idle = this.#idleEpoll.isIdle(epoll)
    const decision = this.#detector.decide({ nowMs, idle, answered: this.#answered })
    if (decision.kind === 'ping') {
      this.#pinged = { number: decision.number, atMs: nowMs, epoll }
      ping(decision.number)
    } else if (decision.kind === 'stalled' && this.#block === undefined) {
      this.#report((this.#block = this.#blockSince(nowMs - decision.blockedMs)))
    }
    const delayMs = this.#block === undefined ? this.#detector.nextMs(nowMs) : CHECK_STALLED_MS
    // After the poll phase: an answer that arrived while the supervisor's own loop was blocked counts.
    this.#timer = clock.setTimer(delayMs, () => setImmediate(() => this.#check()), { unref: true })
  }

  #blockSince(sinceMs: number): Block {
    const { clock } = this.#options
    const block: Block = {
      blockedMs: () => Math.round(clock.monotonic() - sinceMs),
      gone: () => this.#closed,
      over: () => this.#closed || this.#block !== block,
    }
    return block
  }

  #report(block: Block): void {
    const { kind, log } = this.#options
    report(this.#options, block).catch((error: unknown) =>
      log.error(
        { event: 'stall-watch-failed', ...describeThrown(error) },
        `a stall of its ${kind} could not be reported`,
      ),
    )
  }
}

async function report(options: ChildStallOptions, block: Block): Promise<void> {
  const { spec, kind, log } = options
  // eject is false here: the run is ended by its policy below, not together with the supervisor's process.
  const worker = { ...spec.stall, name: spec.name, index: 0, eject: false }
  const culprit = { worker: spec.name, by: 'placement' as const }
  const { investigate } = await import('./investigate.ts')
  let charged = false
  const stall = await investigate({
    inspector: NO_STACK,
    workerOf: () => worker,
    guess: () => culprit,
    over: () => block.over(),
    gone: () => block.gone(),
    blockedMs: () => block.blockedMs(),
    budget,
    log: withoutWorker(log, kind),
    name: `the loop of its ${kind}`,
    onProgress(found) {
      if (charged || spec.onStall !== 'eject') return
      charged = true
      const { worker: __, ...evidence } = found
      const text = `blocked the loop of its ${kind} for ${formatDurationMs(found.blockedMs)}`
      options.eject(text)
      options.charge({ verdict: 'stalled', text, evidence: { ...evidence, placement: kind } })
    },
    onOver: () => {},
  })
  if (stall !== undefined) options.onStalled(stall)
}

/** The worker's logger already adds its name to each line. */
function withoutWorker(log: Logger, placement: string): StallLog {
  const strip = (fields: object): object => ({ ...fields, worker: undefined, placement })
  return {
    warn: (fields, message) => log.warn(strip(fields), message),
    error: (fields, message) => log.error(strip(fields), message),
  }
}
