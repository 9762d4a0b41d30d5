// The messages between the main thread and the lease thread.

import type { ServerAddress } from '../locate.ts'

export interface LeaseThreadData {
  readonly address: ServerAddress
  readonly herd: string
  /** Unique to this process. */
  readonly token: string
  /** A counter that the main loop increments while it runs. */
  readonly heartbeat: SharedArrayBuffer
}

export type ToThread =
  | { readonly do: 'seek'; readonly id: number; readonly name: string; readonly ttlMs: number }
  | { readonly do: 'drop'; readonly id: number }
  /** Drops all leases, then ends the thread. */
  | { readonly do: 'end' }

export type FromThread =
  | { readonly event: 'won'; readonly id: number; readonly fence: string }
  | { readonly event: 'lost'; readonly id: number; readonly reason: string }
  /** The server refused a command for this lease, for another reason than before. */
  | { readonly event: 'refused'; readonly id: number; readonly reason: string }
  | { readonly event: 'up' }
  | { readonly event: 'down'; readonly reason: string }

/** Interval of the main loop's heartbeat, milliseconds. */
export const HEARTBEAT_MS = 500
/** While the main loop is blocked, a lease is renewed for this many ttls; then the process counts as stuck. */
export const STUCK_TTLS = 10
/** The part of the ttl after which a holder that could not renew must stop. The rest is its time for stopping. */
export const HOLD_PART = 0.9
