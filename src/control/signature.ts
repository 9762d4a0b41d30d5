// Signed control messages: who knows the herd's secret may command it. HMAC-SHA-256 over everything that matters, a time
// that must be recent, and a number that must be new.

import { createHmac, timingSafeEqual } from 'node:crypto'

/** A message this much older or newer than the receiver's clock is refused, milliseconds. */
export const WINDOW_MS = 30_000
/** Most nonces remembered; with more commands than that within the window, further ones are refused. */
export const MAX_NONCES = 10_000

/** What is signed: JSON values, in this order. */
export type Signed = readonly unknown[]

export function sign(secret: string, parts: Signed): string {
  return createHmac('sha256', secret).update(JSON.stringify(parts)).digest('base64url')
}

/** In constant time. */
export function isSignature(secret: string, parts: Signed, signature: unknown): boolean {
  if (typeof signature !== 'string') return false
  const expected = Buffer.from(sign(secret, parts))
  const given = Buffer.from(signature)
  return given.length === expected.length && timingSafeEqual(given, expected)
}

/** Remembers nonces for as long as their messages are recent. */
export class Nonces {
  readonly #seen = new Map<string, number>()

  /** Why the message cannot be taken, or undefined; then its nonce is used. `now` and `ts` in ms since the epoch. */
  use(nonce: unknown, ts: unknown, now: number): 'stale' | 'replayed' | 'too-busy' | undefined {
    if (typeof ts !== 'number' || !(Math.abs(now - ts) <= WINDOW_MS)) return 'stale'
    if (typeof nonce !== 'string' || nonce.length < 16 || nonce.length > 128) return 'replayed'
    if (this.#seen.has(nonce)) return 'replayed'
    // the oldest are in front: each is worth remembering until its message is stale by any clock of ours
    for (const [old, usedAt] of this.#seen) {
      if (Math.abs(now - usedAt) <= 2 * WINDOW_MS) break
      this.#seen.delete(old)
    }
    if (this.#seen.size >= MAX_NONCES) return 'too-busy'
    this.#seen.set(nonce, now)
    return undefined
  }
}
