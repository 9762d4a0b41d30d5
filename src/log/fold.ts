// Folding of repeated log lines: the first lines of a kind pass, the rest of its window is counted and told in one line.
// Pure: time is fed in, the caller owns the timer (nextDueMs says when it is needed) and writes the summaries.

export interface FoldOptions {
  /** Lines of one kind that pass per window. @default 5 */
  readonly lines?: number
  /** Length of a window, ms; it begins with the first line of a kind. @default 10000 */
  readonly windowMs?: number
  /** Kinds remembered; the one least recently seen is forgotten first, its count told before. @default 1000 */
  readonly kinds?: number
}

/** What was held back of one kind in one window. */
export interface Folded<T> {
  readonly key: string
  /** What the caller gave with the first line of the window. */
  readonly about: T
  readonly count: number
  /** From the first line of the window to its end (or to now, when told early). */
  readonly windowMs: number
}

export interface Fold<T> {
  /**
   * True when a line of kind `key` at `nowMs` (monotonic) may be written. Windows this call ends (a new window of the
   * same kind, a kind forgotten for want of room) are told through `tell`, at most two.
   */
  admit(key: string, nowMs: number, about: () => T, tell: (folded: Folded<T>) => void): boolean
  /** Tells every window that has ended by `nowMs`, in the order in which the kinds were last seen. */
  due(nowMs: number, tell: (folded: Folded<T>) => void): void
  /** Tells and forgets everything; for the end. */
  drain(nowMs: number, tell: (folded: Folded<T>) => void): void
  /** When the first window with held-back lines ends; undefined when nothing is held back. */
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
  const { lines = 5, windowMs = 10_000, kinds = 1000 } = options
  const windows = new Map<string, Window<T>>() // insertion order is the order of last use
  let holding = 0 // windows with folded > 0
  let total = 0

  const settle = (key: string, window: Window<T>, nowMs: number, tell: (folded: Folded<T>) => void): void => {
    windows.delete(key)
    if (window.folded === 0) return
    holding--
    tell({
      key,
      about: window.about,
      count: window.folded,
      windowMs: Math.min(windowMs, nowMs - window.startMs),
    })
  }

  return {
    admit(key, nowMs, about, tell) {
      let window = windows.get(key)
      if (window !== undefined && nowMs - window.startMs >= windowMs) {
        settle(key, window, nowMs, tell)
        window = undefined
      }
      if (window === undefined) {
        if (windows.size >= kinds) forgetOldest(nowMs, tell)
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
    due(nowMs, tell) {
      if (holding === 0) return
      for (const [key, window] of windows)
        if (window.folded > 0 && nowMs - window.startMs >= windowMs) settle(key, window, nowMs, tell)
    },
    drain(nowMs, tell) {
      for (const [key, window] of windows) settle(key, window, nowMs, tell)
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

  function forgetOldest(nowMs: number, tell: (folded: Folded<T>) => void): void {
    const oldest = windows.entries().next().value
    if (oldest !== undefined) settle(oldest[0], oldest[1], nowMs, tell)
  }
}

const KIND_LENGTH = 160

/**
 * The kind of a log call: its message (or that of its error) with every number and long hexadecimal id taken out, at
 * most 160 characters. Never throws: a value that throws when read is a kind of its own.
 */
export function kindOf(fieldsOrMessage: unknown, message: unknown): string {
  try {
    return messageOf(fieldsOrMessage, message)
      .slice(0, KIND_LENGTH)
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
