// What a worker writes to its console, stdout or stderr becomes log lines: chunks in, whole lines out. Bounded three
// times: bytes per line, bytes held back, lines per second.

import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger, LogLevel } from './logger.ts'
import { unfolded } from './unfolded.ts'

/** Longest line passed on, bytes of UTF-8, marker included. */
const MAX_CAPTURED_LINE_BYTES = 8192

export interface LineSplitter {
  /** Takes any part of the stream; a character of UTF-8 may be torn between two chunks. */
  write(chunk: Uint8Array | string): void
  /** The last line needs no newline. Write again afterwards to begin anew. */
  end(): void
}

/** Asked before a line is put together: a flood costs no more than counting its line ends. */
export interface LineGate {
  admits(): boolean
  /** So many lines ended in one chunk after the first one that was not admitted, that one included. */
  refused(count: number): void
}

/**
 * Calls `onLine` for each line, without its line end ('\n' or '\r\n'), at most `maxBytes` long (at least 64). A longer one is cut
 * at a character and ends in a marker that tells how much is missing; `cutBytes` tells it too (0: whole). Holds at most
 * `maxBytes` of an unfinished line. Bytes that are not UTF-8 become U+FFFD.
 */
export function createLineSplitter(
  onLine: (text: string, cutBytes: number) => void,
  maxBytes: number = MAX_CAPTURED_LINE_BYTES,
  gate?: LineGate,
): LineSplitter {
  let held: Uint8Array[] = []
  let heldBytes = 0
  let skippedBytes = 0

  const keep = (part: Uint8Array): void => {
    const room = maxBytes + 1 - heldBytes // one more than fits, so that '\r' at the limit can be told from a longer line
    const taken = part.length > room ? part.subarray(0, room) : part
    skippedBytes += part.length - taken.length
    if (taken.length === 0) return
    held.push(taken.slice()) // a copy: a slice would pin the whole chunk
    heldBytes += taken.length
    if (held.length >= 64) held = [Buffer.concat(held)] // many tiny chunks: one buffer again
  }
  const forget = (): void => {
    held = []
    heldBytes = 0
    skippedBytes = 0
  }
  const finish = (): void => {
    const bytes = held.length === 1 ? asBuffer(held[0]!) : Buffer.concat(held)
    const skipped = skippedBytes
    forget()
    deliver(bytes, skipped, maxBytes, onLine)
  }
  return {
    write(chunk) {
      let rest: Uint8Array = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      for (let at = rest.indexOf(10); at !== -1; at = rest.indexOf(10)) {
        if (gate?.admits() === false) {
          forget()
          const { count, after } = lineEnds(rest)
          gate.refused(count)
          rest = rest.subarray(after)
          break
        }
        keep(rest.subarray(0, at))
        finish()
        rest = rest.subarray(at + 1)
      }
      if (rest.length > 0) keep(rest)
    },
    end() {
      if (heldBytes === 0) return
      if (gate?.admits() !== false) return finish()
      forget()
      gate.refused(1)
    },
  }
}

/** How many line ends there are, and where what follows the last one begins. */
function lineEnds(bytes: Uint8Array): { readonly count: number; readonly after: number } {
  let count = 0
  let after = 0
  for (let i = 0; i < bytes.length; i++)
    if (bytes[i] === 10) {
      count++
      after = i + 1
    }
  return { count, after }
}

function deliver(
  bytes: Buffer,
  skippedBytes: number,
  maxBytes: number,
  onLine: (text: string, cutBytes: number) => void,
): void {
  const line = skippedBytes === 0 && bytes.at(-1) === 13 ? bytes.subarray(0, -1) : bytes
  // not UTF-8: each bad byte grows to the three bytes of U+FFFD, so the text is measured, not the input
  const text = line.toString('utf8')
  const textBytes = Buffer.byteLength(text)
  if (skippedBytes === 0 && textBytes <= maxBytes) return onLine(text, 0)
  const encoded = Buffer.from(text)
  const end = characterStart(encoded, maxBytes - MARKER_BYTES)
  // of valid text the input is counted; of other bytes, whose text is longer than they, the text
  const same = encoded.subarray(0, end).equals(line.subarray(0, end))
  const cutBytes = (same ? line.length : encoded.length) - end + skippedBytes
  onLine(`${encoded.toString('utf8', 0, end)}…[cut ${cutBytes} bytes]`, cutBytes)
}

/** '…[cut ' + 16 digits (2^53-1) + ' bytes]' */
const MARKER_BYTES = 8 + 16 + 7

/** The last start of a character at or before `at`: bytes 10xxxxxx continue one (RFC 3629). */
function characterStart(bytes: Uint8Array, at: number): number {
  let start = at
  while (start > 0 && (bytes[start]! & 0xc0) === 0x80) start--
  return start
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

export interface RateOptions {
  /** Lines per second in the long run. @default 100 */
  readonly linesPerSecond?: number
  /** Lines at once after a pause. @default 200 */
  readonly burst?: number
}

/** A token bucket with fed time: true while lines may pass at `nowMs` (monotonic). */
export function createLineRate(options: RateOptions = {}): (nowMs: number) => boolean {
  const { linesPerSecond = 100, burst = 200 } = options
  let tokens = burst
  let lastMs: number | undefined
  return (nowMs) => {
    if (lastMs !== undefined)
      tokens = Math.min(burst, tokens + (Math.max(0, nowMs - lastMs) / 1000) * linesPerSecond)
    lastMs = nowMs
    if (tokens < 1) return false
    tokens--
    return true
  }
}

export interface CaptureOptions extends RateOptions {
  readonly maxLineBytes?: number
  readonly clock?: Clock
}

export interface Capture {
  /** The worker's stdout: level info, field `stream: 'stdout'`. */
  readonly stdout: LineSplitter
  /** The worker's stderr: level warn, field `stream: 'stderr'`. */
  readonly stderr: LineSplitter
  /** One call of `console.*`: `text` may have many lines; field `stream: 'console'`. */
  console(level: LogLevel, text: string): void
  /** Ends both streams and tells what the rate held back. Idempotent. */
  end(): void
  /** Since creation. */
  readonly counts: { readonly lines: number; readonly heldBack: number; readonly cutBytes: number }
}

/** Time after which held-back lines are told at the latest, ms. */
const TELL_AFTER_MS = 1000

/**
 * Turns the output of one worker into lines of `log`. One rate holds for all its streams; lines above it are counted
 * and told in one line, at the next line that passes or after a second. Captured lines are not folded by kind.
 */
export function createCapture(log: Logger, options: CaptureOptions = {}): Capture {
  const clock = options.clock ?? systemClock
  const rate = createLineRate(options)
  const counts = { lines: 0, heldBack: 0, cutBytes: 0 }
  let untold = 0
  let timer: Timer | undefined

  const tell = (): void => {
    timer?.cancel()
    timer = undefined
    if (untold === 0) return
    const heldBack = untold
    untold = 0
    log.warn(
      unfolded({ event: 'output-held-back', heldBack }),
      `… ${heldBack} more lines of output, not shown: more than ${options.linesPerSecond ?? 100} lines/s`,
    )
  }
  const line = (level: LogLevel, stream: string, text: string, cutBytes: number): void => {
    counts.lines++
    counts.cutBytes += cutBytes
    tell()
    log[level](unfolded(cutBytes > 0 ? { stream, cutBytes } : { stream }), text)
  }
  const gate: LineGate = {
    admits: () => rate(clock.monotonic()),
    refused(count) {
      counts.lines += count
      counts.heldBack += count
      untold += count
      timer ??= clock.setTimer(TELL_AFTER_MS, tell, { unref: true })
    },
  }
  const splitter = (level: LogLevel, stream: string): LineSplitter =>
    createLineSplitter((text, cutBytes) => line(level, stream, text, cutBytes), options.maxLineBytes, gate)

  const stdout = splitter('info', 'stdout')
  const stderr = splitter('warn', 'stderr')
  return {
    stdout,
    stderr,
    console(level, text) {
      const whole = splitter(level, 'console')
      whole.write(text)
      whole.end()
    },
    end() {
      stdout.end()
      stderr.end()
      tell()
    },
    counts,
  }
}
