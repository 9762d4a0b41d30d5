// Turns the output of a worker (console, stdout, stderr) into log lines. Three limits apply: bytes per line, bytes of an
// unfinished line, and lines per second.

import { systemClock } from '../base/clock.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger, LogLevel } from './logger.ts'
import { unfolded } from './fold.ts'

/** Longest captured line, bytes of UTF-8, including the truncation marker. */
const MAX_CAPTURED_LINE_BYTES = 8192

export interface LineSplitter {
  /** Accepts chunks of any size; a UTF-8 character may be split between two chunks. */
  write(chunk: Uint8Array | string): void
  /** Delivers the last line if it has no newline. A later write starts a new stream. */
  end(): void
}

/** Decides before a line is assembled, so that a flood of output costs no more than counting its newlines. */
export interface LineGate {
  admits(): boolean
  /** Called with the number of lines in a chunk from the first one that was not admitted. */
  refused(count: number): void
}

/**
 * Calls `onLine` for each line, without its line end ('\n' or '\r\n'). A line longer than `maxBytes` (at least 64) is
 * truncated at a character boundary and ends in a marker with the number of missing bytes, which is also `cutBytes` (0 for
 * a whole line). Buffers at most `maxBytes` of an unfinished line. Invalid UTF-8 becomes U+FFFD.
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
    const room = maxBytes + 1 - heldBytes // one more byte, to distinguish a '\r' at the limit from a longer line
    const taken = part.length > room ? part.subarray(0, room) : part
    skippedBytes += part.length - taken.length
    if (taken.length === 0) return
    held.push(taken.slice()) // a copy: a subarray would keep the whole chunk alive
    heldBytes += taken.length
    if (held.length >= 64) held = [Buffer.concat(held)] // merge many small chunks
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

/** The number of newlines, and the offset after the last one. */
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
  // Each invalid byte becomes the three bytes of U+FFFD, so the length of the text counts, not that of the input.
  const text = line.toString('utf8')
  const textBytes = Buffer.byteLength(text)
  if (skippedBytes === 0 && textBytes <= maxBytes) return onLine(text, 0)
  const encoded = Buffer.from(text)
  const end = characterStart(encoded, maxBytes - MARKER_BYTES)
  // Valid UTF-8: missing bytes of the input. Invalid UTF-8: missing bytes of the longer text.
  const same = encoded.subarray(0, end).equals(line.subarray(0, end))
  const cutBytes = (same ? line.length : encoded.length) - end + skippedBytes
  onLine(`${encoded.toString('utf8', 0, end)}…[cut ${cutBytes} bytes]`, cutBytes)
}

/** '…[cut ' + 16 digits (2^53-1) + ' bytes]' */
const MARKER_BYTES = 8 + 16 + 7

/** Offset of the last character that starts at or before `at`; bytes 10xxxxxx are continuation bytes (RFC 3629). */
function characterStart(bytes: Uint8Array, at: number): number {
  let start = at
  while (start > 0 && (bytes[start]! & 0xc0) === 0x80) start--
  return start
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

export interface RateOptions {
  /** Sustained rate, lines per second. @default 100 */
  readonly linesPerSecond?: number
  /** Capacity of the token bucket, lines. @default 200 */
  readonly burst?: number
}

/** A token bucket: true when a line may pass at `nowMs` (monotonic). */
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
  /** One call of `console.*`; `text` may contain several lines. Field `stream: 'console'`. */
  console(level: LogLevel, text: string): void
  /** Ends both streams and reports the lines that the rate limit held back. Idempotent. */
  end(): void
  /** Totals since creation. */
  readonly counts: { readonly lines: number; readonly heldBack: number; readonly cutBytes: number }
}

/** Held-back lines are reported after at most this time, ms. */
const REPORT_AFTER_MS = 1000

/**
 * Turns the output of one worker into lines of `log`. All its streams share one rate limit. Lines above it are counted and
 * reported in one line before the next line that passes, or after a second. Captured lines are not folded.
 */
export function createCapture(log: Logger, options: CaptureOptions = {}): Capture {
  const clock = options.clock ?? systemClock
  const rate = createLineRate(options)
  const counts = { lines: 0, heldBack: 0, cutBytes: 0 }
  let unreported = 0
  let timer: Timer | undefined

  const report = (): void => {
    timer?.cancel()
    timer = undefined
    if (unreported === 0) return
    const heldBack = unreported
    unreported = 0
    log.warn(
      unfolded({ event: 'output-held-back', heldBack }),
      `… ${heldBack} more lines of output, not shown: more than ${options.linesPerSecond ?? 100} lines/s`,
    )
  }
  const line = (level: LogLevel, stream: string, text: string, cutBytes: number): void => {
    counts.lines++
    counts.cutBytes += cutBytes
    report()
    log[level](unfolded(cutBytes > 0 ? { stream, cutBytes } : { stream }), text)
  }
  const gate: LineGate = {
    admits: () => rate(clock.monotonic()),
    refused(count) {
      counts.lines += count
      counts.heldBack += count
      unreported += count
      timer ??= clock.setTimer(REPORT_AFTER_MS, report, { unref: true })
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
      report()
    },
    counts,
  }
}
