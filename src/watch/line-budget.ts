// Limits how often one kind of line is logged for one worker: three times an hour. Suppressed lines are counted, and the
// next line reports the count. Pure.

const LINES_MAX = 3
const WINDOW_MS = 3_600_000
/** Beyond this many entries, all further workers share one budget for each kind. */
const KEYS_MAX = 10_000

export class LineBudget {
  readonly #entries = new Map<string, { loggedAt: number[]; suppressed: number }>()

  /** Returns undefined if the line must not be logged, else the number of lines suppressed since the last one. `nowMs` is
   *  monotonic. */
  take(worker: string, kind: string, nowMs: number): number | undefined {
    const key = this.#entries.size < KEYS_MAX ? `${kind}\0${worker}` : kind
    const entry = this.#entries.get(key) ?? { loggedAt: [], suppressed: 0 }
    this.#entries.set(key, entry)
    entry.loggedAt = entry.loggedAt.filter((at) => nowMs - at < WINDOW_MS)
    if (entry.loggedAt.length >= LINES_MAX) {
      entry.suppressed++
      return undefined
    }
    entry.loggedAt.push(nowMs)
    const { suppressed } = entry
    entry.suppressed = 0
    return suppressed
  }
}
