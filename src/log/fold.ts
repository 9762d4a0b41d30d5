// Folding of repeated log lines: in each window the first lines of a kind pass; the rest are counted and reported in one
// line. Pure: the caller passes the time, owns the timer (nextDueMs is its due time) and writes the summaries.

export interface FoldOptions {
  /** Lines of one kind that pass in each window. @default 5 */
  readonly lines?: number
  /** Length of a window, ms. A window starts with the first line of a kind. @default 10000 */
  readonly windowMs?: number
  /** Maximum number of kinds remembered. Beyond that the least recently used kind is reported and evicted. @default 1000 */
  readonly kinds?: number
}

/** The lines of one kind that were held back in one window. */
export interface Folded<T> {
  readonly key: string
  /** The caller's data from the first line of the window. */
  readonly about: T
  readonly count: number
  /** From the first line of the window to its end, or to now when reported earlier. */
  readonly windowMs: number
}

export interface Fold<T> {
  /**
   * True when a line of kind `key` may be written at `nowMs` (monotonic); `lines` of a kind pass in each window, by default
   * as in the options. Calls `report` for each window that this call
   * ends: that of the same kind when it has expired, and that of an evicted kind.
   */
  admit(
    key: string,
    nowMs: number,
    about: () => T,
    report: (folded: Folded<T>) => void,
    lines?: number,
  ): boolean
  /** Reports every window that has ended by `nowMs`, least recently used kind first. */
  due(nowMs: number, report: (folded: Folded<T>) => void): void
  /** Reports and removes every window; for shutdown. */
  drain(nowMs: number, report: (folded: Folded<T>) => void): void
  /** When the first window with held-back lines ends; undefined when no line is held back. */
  readonly nextDueMs: number | undefined
  /** Lines held back since creation. */
  readonly total: number
}

interface Window<T> {
  startMs: number
  passed: number
  folded: number
  about: T
}

export function createFold<T>(options: FoldOptions = {}): Fold<T> {
  const { lines: linesByDefault = 5, windowMs = 10_000, kinds = 1000 } = options
  const windows = new Map<string, Window<T>>() // in order of last use, least recent first
  let holding = 0 // number of windows with folded > 0
  let total = 0

  const endWindow = (
    key: string,
    window: Window<T>,
    nowMs: number,
    report: (folded: Folded<T>) => void,
  ): void => {
    windows.delete(key)
    if (window.folded === 0) return
    holding--
    report({
      key,
      about: window.about,
      count: window.folded,
      windowMs: Math.min(windowMs, nowMs - window.startMs),
    })
  }

  return {
    admit(key, nowMs, about, report, lines = linesByDefault) {
      let window = windows.get(key)
      if (window !== undefined && nowMs - window.startMs >= windowMs) {
        endWindow(key, window, nowMs, report)
        window = undefined
      }
      if (window === undefined) {
        if (windows.size >= kinds) evictOldest(nowMs, report)
        windows.set(key, {
          startMs: nowMs,
          passed: lines > 0 ? 1 : 0,
          folded: 0,
          about: about(),
        })
        if (lines > 0) return true
        window = windows.get(key)!
      } else {
        windows.delete(key)
        windows.set(key, window)
      }
      if (window.passed < lines) {
        window.passed++
        return true
      }
      if (window.folded++ === 0) holding++
      total++
      return false
    },
    due(nowMs, report) {
      if (holding === 0) return
      for (const [key, window] of windows)
        if (window.folded > 0 && nowMs - window.startMs >= windowMs) endWindow(key, window, nowMs, report)
    },
    drain(nowMs, report) {
      for (const [key, window] of windows) endWindow(key, window, nowMs, report)
    },
    get nextDueMs() {
      if (holding === 0) return undefined
      let first = Number.POSITIVE_INFINITY
      for (const window of windows.values())
        if (window.folded > 0) first = Math.min(first, window.startMs + windowMs)
      return first
    },
    get total() {
      return total
    },
  }

  function evictOldest(nowMs: number, report: (folded: Folded<T>) => void): void {
    const oldest = windows.entries().next().value
    if (oldest !== undefined) endWindow(oldest[0], oldest[1], nowMs, report)
  }
}

const MAX_KIND_LENGTH = 160

/**
 * The kind of a log call: its message (or that of its error) with every number and long hexadecimal id replaced by '#', at
 * most 160 characters. Never throws: all values that throw when read share one kind.
 */
export function kindOf(fieldsOrMessage: unknown, message: unknown): string {
  try {
    return messageOf(fieldsOrMessage, message)
      .slice(0, MAX_KIND_LENGTH)
      .replace(/\b(?=[0-9a-f-]*\d)[0-9a-f-]{8,}\b|\d+/gi, '#')
  } catch {
    return '(unreadable)'
  }
}

function messageOf(fields: unknown, message: unknown): string {
  if (typeof fields === 'string') return fields
  if (typeof message === 'string') return message
  if (typeof fields !== 'object' || fields === null) return String(fields)
  if (fields instanceof Error) return `${fields.name}: ${fields.message}`
  const { msg, err, event } = fields as { msg?: unknown; err?: unknown; event?: unknown }
  if (typeof msg === 'string') return msg
  if (err instanceof Error) return `${err.name}: ${err.message}`
  return typeof event === 'string' ? event : Object.keys(fields).slice(0, 8).join(',')
}

/** Marks lines that repeat by nature and are bounded elsewhere: state transitions and captured output. */
const UNFOLDED: unique symbol = Symbol('byre.unfolded')

/** Marks `fields` so that their line is never folded. The key is a symbol, so no formatter prints it. */
export function unfolded<T extends object>(fields: T): T {
  return Object.defineProperty(fields, UNFOLDED, { value: true })
}

export function isUnfolded(fields: unknown): boolean {
  return typeof fields === 'object' && fields !== null && UNFOLDED in fields
}
