// What the main thread and the one that keeps the leases say to each other.

import type { ServerAddress } from '../locate.ts'

export interface LeaseThreadData {
  readonly address: ServerAddress
  readonly herd: string
  /** Differs between processes. */
  readonly token: string
  /** A counter the main loop moves while it turns. */
  readonly beat: SharedArrayBuffer
}

export type ToThread =
  | { readonly do: 'seek'; readonly id: number; readonly name: string; readonly ttlMs: number }
  | { readonly do: 'drop'; readonly id: number }
  /** Drops all, then ends. */
  | { readonly do: 'end' }

export type FromThread =
  | { readonly say: 'won'; readonly id: number; readonly fence: string }
  | { readonly say: 'lost'; readonly id: number; readonly reason: string }
  /** The server refused to try or renew it, for another reason than before. */
  | { readonly say: 'refused'; readonly id: number; readonly reason: string }
  | { readonly say: 'up' }
  | { readonly say: 'down'; readonly reason: string }

/** The main loop moves its counter so often, milliseconds. */
export const HEALTH_MS = 500
/** A lease is renewed for a loop that has not turned for so many times its ttl; then the process counts as stuck. */
export const STUCK_TTLS = 10
/** The part of the ttl after which a holder that could not renew stops, so that it has the rest for stopping. */
export const HOLD_PART = 0.9
