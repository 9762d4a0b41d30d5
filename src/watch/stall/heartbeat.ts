// The heartbeat of a worker in a thread or process of its own, asked over its wire: only while /proc shows that its loop
// does not rest, so that an idle guest is never woken. Loaded with the first such worker that has stall.detect.

import type { Clock, Timer } from '../../base/clock.ts'
import { Judge, periodOf } from './judge.ts'
import { openEpollReader, RestingPlace } from './loop-state.ts'
import type { ReadEpoll } from './loop-state.ts'

export interface HeartbeatOptions {
  readonly clock: Clock
  readonly pid: number
  /** The kernel's id of its loop's thread. */
  readonly tid: number
  readonly afterMs: number
  /** Puts question `number` to the guest. */
  readonly ask: (number: number) => void
  /** It does not answer; told once per stall. */
  readonly onStall: (held: Held) => void
}

/** A stall while it lasts. */
export interface Held {
  /** At least this long, now. */
  blockedMs(): number
  /** It answers again, or is gone. */
  over(): boolean
  /** It ended inside the stall. */
  gone(): boolean
}

export interface Heartbeat {
  /** The guest's answer to question `number`. */
  answered(number: number): void
  close(): void
}

export function openHeartbeat(options: HeartbeatOptions): Heartbeat {
  return new LoopHeartbeat(options)
}

class LoopHeartbeat implements Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #epoll: ReadEpoll | undefined
  readonly #place = new RestingPlace()
  readonly #judge: Judge
  #timer: Timer | undefined
  #closed = false
  #answered = 0
  #question:
    | { readonly number: number; readonly atMs: number; readonly epoll: string | undefined }
    | undefined
  /** The stall that was told, while it lasts. */
  #held: Held | undefined

  constructor(options: HeartbeatOptions) {
    this.#options = options
    this.#epoll = openEpollReader(options.pid, options.tid)
    const { afterMs } = options
    this.#judge = new Judge({ afterMs, periodMs: periodOf(afterMs, this.#epoll !== undefined) })
    this.#look()
  }

  answered(number: number): void {
    this.#answered = number
    const nowMs = this.#options.clock.monotonic()
    if (this.#question?.number === number)
      this.#place.learn(this.#question.epoll, nowMs - this.#question.atMs)
    this.#question = undefined
    this.#held = undefined
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #hold(sinceMs: number): Held {
    const { clock } = this.#options
    const held: Held = {
      blockedMs: () => Math.round(clock.monotonic() - sinceMs),
      gone: () => this.#closed,
      over: () => this.#closed || this.#held !== held,
    }
    return held
  }

  #look(): void {
    if (this.#closed) return
    const { clock, ask, onStall } = this.#options
    const nowMs = clock.monotonic()
    const epoll = this.#epoll?.()
    const ruling = this.#judge.judge({ nowMs, resting: this.#place.isRest(epoll), answered: this.#answered })
    if (ruling.kind === 'ask') {
      this.#question = { number: ruling.number, atMs: nowMs, epoll }
      ask(ruling.number)
    } else if (ruling.kind === 'stalled' && this.#held === undefined) {
      onStall((this.#held = this.#hold(nowMs - ruling.blockedMs)))
    }
    const delayMs = this.#held === undefined ? this.#judge.nextMs(nowMs) : STALLED_LOOK_MS
    // After the poll phase: an answer that waits in the socket while the host itself was held counts.
    this.#timer = clock.setTimer(delayMs, () => setImmediate(() => this.#look()), { unref: true })
  }
}

const STALLED_LOOK_MS = 1000
