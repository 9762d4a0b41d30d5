// Writes log lines to a file descriptor without blocking the event loop. A pipe whose reader has stopped, or a terminal on
// hold, would otherwise stop every worker (pino's own destination either blocks or, on a thread, permanently occupies one of
// the four threads of the pool). Each line is one immediate write(2), so that lines survive a crash. Lines that the kernel
// does not accept are queued up to a limit, then dropped and counted; the count is reported once the queue is empty.
//
// Node has no fcntl. Pipes and terminals become non-blocking by reopening /proc/self/fd/N: that creates a separate open file
// description, so that O_NONBLOCK does not affect other processes that share the pipe. Sockets (stdout of a systemd unit)
// cannot be reopened; wrapping them in a net.Socket, which is never read or closed, sets the flag.

import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { systemClock } from '../base/clock.ts'
import { BIGINT } from '../base/stat.ts'
import type { Clock, Timer } from '../base/clock.ts'

export interface FdSinkOptions {
  /** Never closed by the sink. */
  readonly fd: number
  /** Maximum number of bytes queued while the reader is slow. @default 1 MiB */
  readonly maxQueueBytes?: number
  readonly clock?: Clock
  /** Called when the queue is empty again, with the number of lines dropped since the last call. May write. */
  readonly onDropped?: (dropped: number) => void
}

export interface FdSink {
  /** Writes one or more whole lines, each ending in a newline. Never throws, never blocks. */
  write(line: string): void
  /** Resolves with true once the kernel has every line, with false after `timeoutMs`. */
  flush(timeoutMs: number): Promise<boolean>
  /** For the final record: blocks the loop until the queue and this line are written, for at most `timeoutMs`. Returns true on
   *  success. */
  writeSync(line: string, timeoutMs: number): boolean
  /** Lines dropped since creation. */
  readonly dropped: number
  readonly queuedBytes: number
  /** Why a write may block the loop (a terminal that cannot be reopened), or undefined. */
  readonly blocking: string | undefined
  /** Drops and counts the queued lines and closes the reopened descriptor. Later writes are dropped and counted. */
  close(): void
}

const RETRY_FIRST_MS = 5
const RETRY_MAX_MS = 100
const FULL = -1
const LOST = -2

export async function createFdSink(options: FdSinkOptions): Promise<FdSink> {
  return build(await openTarget(options.fd), options)
}

interface Target {
  readonly fd: number
  readonly blocking: string | undefined
  close(): void
}

async function openTarget(fd: number): Promise<Target> {
  const kind = kindOfFd(fd)
  if (kind === 'file') return { fd, blocking: undefined, close() {} }
  if (kind === 'pipe' || kind === 'terminal') {
    try {
      const own = openSync(
        `/proc/self/fd/${fd}`,
        constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
      )
      return { fd: own, blocking: undefined, close: () => closeSync(own) }
    } catch (error) {
      // a pipe or terminal of another user, or a pipe without a reader
      if (kind === 'terminal')
        return { fd, blocking: `cannot reopen the terminal: ${String(error)}`, close() {} }
    }
  }
  return openSocket(fd)
}

async function openSocket(fd: number): Promise<Target> {
  const net = await import('node:net')
  try {
    const wrapper: Socket = new net.Socket({ fd, readable: false, writable: true })
    wrapper.unref()
    wrapper.on('error', () => {}) // the failing write reports it
    return { fd, blocking: undefined, close: () => void wrapper } // referenced, since a collected socket would close the descriptor
  } catch (error) {
    return { fd, blocking: `cannot make the descriptor non-blocking: ${String(error)}`, close() {} } // a datagram socket
  }
}

function kindOfFd(fd: number): 'file' | 'pipe' | 'terminal' | 'socket' {
  const stat = fstatSync(fd, BIGINT)
  if (stat.isFIFO()) return 'pipe'
  if (stat.isSocket()) return 'socket'
  // character devices other than terminals (/dev/null) never block
  return stat.isCharacterDevice() && isTerminal(fd) ? 'terminal' : 'file'
}

/** Terminals have the major number 4 (tty), 5 (tty, console) or 136 to 143 (pts); the kernel's devices.txt. */
export function isTerminal(fd: number): boolean {
  try {
    const stat = fstatSync(fd, BIGINT)
    const major = Number(stat.rdev >> 8n) & 0xfff
    return stat.isCharacterDevice() && (major === 4 || major === 5 || (major >= 136 && major <= 143))
  } catch {
    return false
  }
}

function build(target: Target, options: FdSinkOptions): FdSink {
  const { maxQueueBytes = 1 << 20, clock = systemClock, onDropped } = options
  let queue: Buffer[] = []
  let queuedBytes = 0
  let dropped = 0
  let reported = 0
  let closed = false
  let timer: Timer | undefined
  let retryMs = RETRY_FIRST_MS
  let waiting: (() => void)[] = []

  /** The number of bytes written, FULL, or LOST when the reader is gone or the disk is full; the next line tries again. */
  const attempt = (data: string | Buffer): number => {
    try {
      return typeof data === 'string'
        ? writeSync(target.fd, data)
        : writeSync(target.fd, data, 0, data.length)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return FULL
      dropped += linesOf(data)
      return LOST
    }
  }
  const enqueue = (data: Buffer): void => {
    if (queuedBytes + data.length > maxQueueBytes) {
      dropped += linesOf(data)
      return
    }
    queue.push(data)
    queuedBytes += data.length
    timer ??= clock.setTimer(retryMs, retry, { unref: true })
  }
  /** Writes from the queue until it is empty or the kernel's buffer is full. */
  const drain = (): void => {
    let done = 0
    while (done < queue.length) {
      const head = queue[done]!
      const taken = attempt(head)
      if (taken === FULL) break
      retryMs = RETRY_FIRST_MS
      queuedBytes -= taken === LOST ? head.length : taken
      if (taken === LOST || taken === head.length) done++
      else queue[done] = head.subarray(taken)
    }
    queue = done === 0 ? queue : queue.slice(done)
  }
  const drained = (): void => {
    const wake = waiting
    waiting = []
    for (const fn of wake) fn()
    if (dropped > reported) {
      const count = dropped - reported
      reported = dropped
      onDropped?.(count)
    }
  }
  const retry = (): void => {
    timer = undefined
    retryMs = Math.min(RETRY_MAX_MS, retryMs * 2)
    drain()
    if (queue.length > 0) timer = clock.setTimer(retryMs, retry, { unref: true })
    else drained()
  }
  return {
    write(line) {
      if (closed) {
        dropped += linesOf(line)
        return
      }
      if (queue.length > 0) return enqueue(Buffer.from(line))
      const taken = attempt(line)
      if (taken === LOST) return
      if (taken === FULL) return enqueue(Buffer.from(line))
      if (taken < Buffer.byteLength(line)) return enqueue(Buffer.from(line).subarray(taken))
      if (dropped > reported) drained()
    },
    flush(timeoutMs) {
      if (queue.length === 0) return Promise.resolve(true)
      return new Promise((resolve) => {
        const deadline = clock.setTimer(timeoutMs, () => resolve(false)) // not unref'd: keeps the loop alive for the retries
        waiting.push(() => {
          deadline.cancel()
          resolve(true)
        })
      })
    },
    writeSync(line, timeoutMs) {
      const endAt = performance.now() + timeoutMs
      if (closed) return false
      queue.push(Buffer.from(line))
      queuedBytes += queue.at(-1)!.length
      for (drain(); queue.length > 0 && performance.now() < endAt; drain()) sleepSync(5)
      if (queue.length > 0) timer ??= clock.setTimer(retryMs, retry, { unref: true })
      return queue.length === 0
    },
    get dropped() {
      return dropped
    },
    get queuedBytes() {
      return queuedBytes
    },
    blocking: target.blocking,
    close() {
      if (closed) return
      closed = true
      timer?.cancel()
      for (const data of queue) dropped += linesOf(data)
      queue = []
      queuedBytes = 0
      drained()
      target.close()
    },
  }
}

/** The rest of a partly written line counts as one line. */
function linesOf(data: string | Buffer): number {
  let count = 0
  for (let at = data.indexOf('\n'); at !== -1; at = data.indexOf('\n', at + 1)) count++
  return Math.max(1, count)
}

function sleepSync(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
