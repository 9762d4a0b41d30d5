// What the parts of durable streams share.

import type { Redis } from 'ioredis'
import type { Clock } from '../../../base/clock.ts'
import type { Redact } from '../../../base/redact.ts'
import type { BusEvent } from '../../bus.ts'

export interface StreamDeps {
  readonly herd: string
  readonly clock: Clock
  readonly redact: Redact
  /** Most bytes of JSON in a payload. */
  readonly messageBytes: number
  /** The command connection while it works. */
  readonly client: () => Redis | undefined
  /** Another server is the master now: connects anew. */
  readonly leave: (reason: string) => void
  readonly onEvent: (event: BusEvent) => void
  /** Runs `fn` in the async context of nobody. */
  readonly runDetached: <R>(fn: () => R) => R
}

// Taken at import: the supervisor wraps the global one to attribute strays to workers.
const hostNextTick = process.nextTick.bind(process)

/** Calls `fn` once at the end of this turn, however often it is asked to: behind all microtasks, since a worker that goes
 *  through a batch does so in them, and each job would be a command of its own. */
export function oncePerTurn(fn: () => void): () => void {
  let asked = false
  return () => {
    if (asked) return
    asked = true
    hostNextTick(() => {
      asked = false
      fn()
    })
  }
}
