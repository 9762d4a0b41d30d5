// Whom a heap profile of the shared loop shows to be behind its growth, if anybody. Pure.

import type { Share } from '../profile/attribute.ts'

export interface Kept {
  /** Allocated in V8's heap within the window and alive at its end. */
  readonly totalBytes: number
  /** By self, largest first. */
  readonly workers: readonly Share[]
  /** What the process grew by within the window, by the kernel, after a collection at both ends. */
  readonly grewBytes: number
}

/** Nobody in particular, or nobody V8 could tell: Buffers and native code are outside its heap. */
export type Blame =
  | { readonly kind: 'worker'; readonly worker: string; readonly keptBytes: number }
  | { readonly kind: 'nobody' }
  | { readonly kind: 'outside' }

/** Below this share of what was kept in the window, or of what the process grew by, nobody is blamed. */
const BLAME_SHARE = 0.5
/** Nor for less than this: the profiler takes one sample for each 32 KiB, and a loop that did not grow keeps some too. */
export const KEPT_MIN_BYTES = 524_288

export function blame({ totalBytes, workers, grewBytes }: Kept): Blame {
  if (totalBytes < grewBytes * BLAME_SHARE && grewBytes >= KEPT_MIN_BYTES) return { kind: 'outside' }
  const [first] = workers
  const enoughBytes = Math.max(KEPT_MIN_BYTES, BLAME_SHARE * Math.max(totalBytes, grewBytes))
  if (first === undefined || first.self < enoughBytes) return { kind: 'nobody' }
  return { kind: 'worker', worker: first.worker, keptBytes: first.self }
}
