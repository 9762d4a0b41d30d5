// Detects a blocked event loop from outside it without waking an idle one. /proc/<pid>/task/<tid>/syscall
// (proc_pid_syscall(5)) names the system call a thread is blocked in and its arguments: an idle loop is in epoll_wait on its
// own descriptor. Any other loop is sent a ping, which a blocked one cannot answer.

import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'

/** The state of the loop at one check. Times are ms of one monotonic clock. */
export interface LoopSample {
  readonly nowMs: number
  /** The loop waits for events in its own epoll; undefined where the kernel does not show that. */
  readonly idle: boolean | undefined
  /** Number of the latest ping the loop has answered. */
  readonly answered: number
}

export type Decision =
  /** Nothing to do until the next check. */
  | { readonly kind: 'fine' }
  /** Send ping `number` to the loop. */
  | { readonly kind: 'ping'; readonly number: number }
  /** Ping `number` has not been answered for `longMs`. Returned once per ping. */
  | { readonly kind: 'long'; readonly number: number; readonly blockedMs: number }
  /** A ping has not been answered for half of `afterMs`. Returned once per ping, as time to prepare. */
  | { readonly kind: 'suspect' }
  /** Ping `number` has not been answered for `blockedMs`, so the loop has been blocked for at least that long. */
  | { readonly kind: 'stalled'; readonly number: number; readonly blockedMs: number }

export interface DetectorOptions {
  /** A block this long is a stall. */
  readonly afterMs: number
  /** Interval between checks of an idle loop. */
  readonly periodMs: number
  /** A turn of the loop this long is reported as `long`; a loop that is not idle is checked this often.
   *  @default never reported */
  readonly longMs?: number
}

/** A check this much later than due was itself delayed (SIGSTOP, no CPU time) and proves nothing. */
const LATE_MS = 500

/** Decides from samples whether the loop is blocked, and when to sample next. Pure. */
export class StallDetector {
  readonly #options: DetectorOptions
  #lastNumber = 0
  /** The ping that has not been answered yet. */
  #open: { readonly number: number; sentMs: number; long: boolean; suspected: boolean } | undefined
  /** Current interval between checks: doubles from `longMs` to `periodMs` while the loop is idle. */
  #paceMs: number
  #dueMs: number | undefined

  constructor(options: DetectorOptions) {
    this.#options = options
    this.#paceMs = options.periodMs
  }

  decide({ nowMs, idle, answered }: LoopSample): Decision {
    this.#setPace(idle)
    const late = this.#dueMs !== undefined && nowMs - this.#dueMs > LATE_MS
    const open = this.#open
    if (open !== undefined && answered >= open.number) this.#open = undefined
    else if (open !== undefined) {
      if (late) open.sentMs = nowMs
      const blockedMs = nowMs - open.sentMs
      if (!open.long && blockedMs >= (this.#options.longMs ?? Number.POSITIVE_INFINITY)) {
        open.long = true
        return { kind: 'long', number: open.number, blockedMs }
      }
      if (blockedMs < this.#options.afterMs) {
        if (open.suspected || blockedMs < this.#options.afterMs / 2) return { kind: 'fine' }
        open.suspected = true
        return { kind: 'suspect' }
      }
      return { kind: 'stalled', number: open.number, blockedMs }
    }
    if (idle === true) return { kind: 'fine' }
    this.#lastNumber++
    this.#open = { number: this.#lastNumber, sentMs: nowMs, long: false, suspected: false }
    return { kind: 'ping', number: this.#lastNumber }
  }

  /** Milliseconds until the next check. `nowMs` is that of the sample just decided on. */
  nextMs(nowMs: number): number {
    const { afterMs, periodMs, longMs } = this.#options
    const open = this.#open
    let delayMs = this.#paceMs
    if (open !== undefined) {
      const nextMs = longMs === undefined || open.long ? afterMs : longMs
      delayMs = Math.min(periodMs, open.sentMs + nextMs - nowMs)
    }
    const boundedMs = Math.max(1, delayMs)
    this.#dueMs = nowMs + boundedMs
    return boundedMs
  }

  #setPace(idle: boolean | undefined): void {
    const { periodMs, longMs } = this.#options
    if (longMs === undefined || idle === undefined) return
    this.#paceMs = idle ? Math.min(periodMs, 2 * this.#paceMs) : Math.min(periodMs, longMs)
  }
}

/** This interval costs 3.6 wake-ups a second and delays detection by at most as much. */
const PERIOD_MS = 280
/** Where only pings show the state, each of them wakes two threads. */
const PERIOD_BLIND_MS = 500

/** Interval between checks for stalls of `afterMs`. `kernelShows`: the kernel shows whether the loop is idle. */
export function checkPeriodMs(afterMs: number, kernelShows: boolean): number {
  return Math.min(kernelShows ? PERIOD_MS : PERIOD_BLIND_MS, Math.max(10, Math.floor(afterMs / 2)))
}

/** epoll_wait, epoll_pwait, epoll_pwait2 by architecture (asm/unistd.h). */
const EPOLL_CALLS: Readonly<Record<string, readonly string[]>> = {
  x64: ['232', '281', '441'],
  arm64: ['22', '441'],
}

/** The epoll descriptor a thread waits on, in the kernel's hexadecimal; undefined when it does anything else. `text` is the
 *  content of its `syscall` file. */
export function epollOf(text: string, arch: string = process.arch): string | undefined {
  const [call = '', descriptor] = text.split(' ', 2)
  return EPOLL_CALLS[arch]?.includes(call) === true ? descriptor : undefined
}

/** A loop that answers a ping this fast was idle when the ping was sent. */
const PROMPT_MS = 40
/** The same descriptor must precede a prompt answer this many times in a row. */
const PROOFS = 3

/** Learns which epoll descriptor is the loop's own: execSync waits on an epoll as well, but on a different one. Pure. */
export class IdleEpoll {
  readonly #candidates: ReadonlySet<string>
  #known: string | undefined
  #candidate: string | undefined
  #proofs = 0

  /** `candidates`: the epolls that were open while the loop was in no execSync. The first of them that the loop is seen to
   *  wait on is its own. */
  constructor(candidates: Iterable<string> = []) {
    this.#candidates = new Set(candidates)
  }

  /** The loop waited on `epoll` when it was sent a ping, and answered after `answeredInMs`. */
  learn(epoll: string | undefined, answeredInMs: number): void {
    if (this.#known !== undefined || epoll === undefined) return
    if (answeredInMs > PROMPT_MS || epoll !== this.#candidate) this.#proofs = 0
    this.#candidate = epoll
    if (answeredInMs <= PROMPT_MS && ++this.#proofs >= PROOFS) this.#known = epoll
  }

  /** Whether a loop that waits on `epoll` is idle. */
  isIdle(epoll: string | undefined): boolean {
    if (epoll === undefined) return false
    if (this.#known === undefined && this.#candidates.has(epoll)) this.#known = epoll
    return epoll === this.#known
  }
}

/** Reads the epoll descriptor a thread waits on. */
export type ReadEpoll = () => string | undefined

/** Nine numbers of at most 18 characters. */
const LINE_BYTES = 256

/** Returns undefined where the kernel does not show it (no /proc, a hardened kernel, an unknown architecture). */
export function openEpollReader(pid: number | 'self', tid: number): ReadEpoll | undefined {
  const path = `/proc/${pid}/task/${tid}/syscall`
  if (EPOLL_CALLS[process.arch] === undefined) return undefined
  // One buffer for all reads: readFileSync allocates 64 KiB for each file of unknown size, and V8 would collect them with
  // all its threads.
  const buffer = Buffer.alloc(LINE_BYTES)
  const read = (): string => {
    const file = openSync(path, 'r')
    try {
      return buffer.toString('latin1', 0, readSync(file, buffer, 0, LINE_BYTES, 0))
    } finally {
      closeSync(file)
    }
  }
  try {
    read()
  } catch {
    return undefined
  }
  return () => {
    try {
      return epollOf(read())
    } catch {
      return undefined // the loop is sent a ping instead
    }
  }
}

/** Every epoll descriptor open in this process, in the format of `epollOf`. Called from the loop itself, so that none of
 *  them belongs to an execSync. */
export function openEpolls(): string[] {
  try {
    return readdirSync('/proc/self/fd')
      .filter(isEpoll)
      .map((fd) => `0x${Number(fd).toString(16)}`)
  } catch {
    return [] // no /proc: the loop is sent a ping at each check
  }
}

function isEpoll(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventpoll]'
  } catch {
    return false // the descriptor of the directory listing itself
  }
}
