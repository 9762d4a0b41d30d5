// How often a stall is told: three times an hour for each worker and kind; what is left out is counted and told with the
// next line. Pure.

const LINES_MAX = 3
const WINDOW_MS = 3_600_000
/** More workers than this share one budget. */
const KEYS_MAX = 10_000

export class LineBudget {
  readonly #told = new Map<string, { at: number[]; left: number }>()

  /** Undefined: not now. Else how many were left out since the last line. `nowMs` is monotonic. */
  take(worker: string, kind: string, nowMs: number): number | undefined {
    const key = this.#told.size < KEYS_MAX ? `${kind}\0${worker}` : kind
    const entry = this.#told.get(key) ?? { at: [], left: 0 }
    this.#told.set(key, entry)
    entry.at = entry.at.filter((at) => nowMs - at < WINDOW_MS)
    if (entry.at.length >= LINES_MAX) {
      entry.left++
      return undefined
    }
    entry.at.push(nowMs)
    const { left } = entry
    entry.left = 0
    return left
  }
}
