// Which worker, or the shared loop, has grown most; and for the shared loop, which of its workers a heap profile shows as the
// cause. Pure.

import type { Share } from '../profile/attribute.ts'

export interface Sized {
  /** Identifies one run of one worker, or the shared loop. */
  readonly key: string
  readonly bytes: number
}

export interface Grown {
  readonly key: string
  readonly growthBytes: number
  readonly bytes: number
  /** Time since the minimum. */
  readonly overMs: number
}

/** Growth of each run since its minimum. */
export class Growth {
  #lowest = new Map<string, { readonly bytes: number; readonly atMs: number }>()
  #latest: readonly Sized[] = []
  #atMs = 0

  /** `sizes` is everything that exists now; any other key is forgotten. */
  note(sizes: readonly Sized[], atMs: number): void {
    const before = this.#lowest
    this.#lowest = new Map(
      sizes.map(({ key, bytes }) => {
        const lowest = before.get(key)
        return [key, lowest !== undefined && lowest.bytes <= bytes ? lowest : { bytes, atMs }]
      }),
    )
    this.#latest = sizes
    this.#atMs = atMs
  }

  /** Returns undefined when nothing has grown. */
  largest(): Grown | undefined {
    let found: Grown | undefined
    for (const { key, bytes } of this.#latest) {
      const lowest = this.#lowest.get(key)
      if (lowest === undefined) continue
      const growthBytes = bytes - lowest.bytes
      if (growthBytes > (found?.growthBytes ?? 0))
        found = { key, growthBytes, bytes, overMs: Math.round(this.#atMs - lowest.atMs) }
    }
    return found
  }
}

/** A heap profile of the shared loop over a window. */
export interface Kept {
  /** Allocated in V8's heap within the window and still alive at its end. */
  readonly totalBytes: number
  /** The part of each worker, largest first. */
  readonly workers: readonly Share[]
  /** Growth of the process within the window as reported by the kernel, with a collection before and after. */
  readonly grewBytes: number
}

/** `none`: no worker stands out. `outside`: most of the growth is outside V8's heap (Buffers, native code). */
export type Blame =
  | { readonly kind: 'worker'; readonly worker: string; readonly keptBytes: number }
  | { readonly kind: 'none' }
  | { readonly kind: 'outside' }

/** A worker with less than this share of the kept bytes, or of the growth of the process, is not named as the cause. */
const BLAME_SHARE = 0.5
/** A worker below this size is not named either: the profiler takes one sample per 32 KiB, and every loop keeps some memory. */
export const KEPT_MIN_BYTES = 524_288

export function blame({ totalBytes, workers, grewBytes }: Kept): Blame {
  if (totalBytes < grewBytes * BLAME_SHARE && grewBytes >= KEPT_MIN_BYTES) return { kind: 'outside' }
  const [first] = workers
  const enoughBytes = Math.max(KEPT_MIN_BYTES, BLAME_SHARE * Math.max(totalBytes, grewBytes))
  if (first === undefined || first.self < enoughBytes) return { kind: 'none' }
  return { kind: 'worker', worker: first.worker, keptBytes: first.self }
}
