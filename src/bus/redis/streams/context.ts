// The data and services that the reader, the writer, the watch and the acknowledgements of durable streams share.

import type { Redis } from 'ioredis'
import type { Clock } from '../../../base/clock.ts'
import type { Redact } from '../../../base/redact.ts'
import type { BusEvent } from '../../bus.ts'

export interface StreamContext {
  readonly herd: string
  readonly clock: Clock
  readonly redact: Redact
  /** Largest payload, bytes of JSON. */
  readonly messageBytes: number
  /** The command connection while it works. */
  readonly client: () => Redis | undefined
  /** Drops the connection because another server is the master now, and connects again. */
  readonly leave: (reason: string) => void
  readonly onEvent: (event: BusEvent) => void
  /** Runs `fn` outside every worker's async context. */
  readonly runDetached: <R>(fn: () => R) => R
}

// Captured at import: the supervisor wraps the global function to attribute stray errors to workers.
const hostNextTick = process.nextTick.bind(process)

/** Returns a function that calls `fn` once at the end of this turn, however often it is called. It runs after all
 *  microtasks, in which a worker goes through a batch of jobs; otherwise each job would be a separate command. */
export function oncePerTurn(fn: () => void): () => void {
  let scheduled = false
  return () => {
    if (scheduled) return
    scheduled = true
    hostNextTick(() => {
      scheduled = false
      fn()
    })
  }
}
