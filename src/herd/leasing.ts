// Leases of the workers of one process. Loaded only with a Redis bus: without one no worker has a lease.

import type { HostBus, LeaseHold } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { runInScope } from '../ownership/run-scope.ts'
import type { Effect } from './state.ts'
import { supervise } from './lease-state.ts'
import type { LeaseEvent } from './lease-state.ts'

interface Held {
  hold: LeaseHold | undefined
  fence: number | undefined
}

export class Leasing {
  readonly #bus: HostBus
  /** By name of the worker. */
  readonly #leases = new Map<string, Held>()

  constructor(bus: HostBus) {
    this.#bus = bus
  }

  /** The transition of a worker that needs a lease. */
  readonly transition: typeof supervise = supervise

  /** `apply` is called when the lease is acquired or lost. */
  perform(spec: ResolvedWorker, effect: Effect, apply: (event: LeaseEvent) => void): void {
    if (effect.type === 'seek-lease') this.#seek(spec, apply)
    else if (effect.type === 'drop-lease') {
      this.#leases.get(spec.name)?.hold?.drop()
      this.#leases.delete(spec.name)
    }
  }

  /** The fence of the lease that `worker` holds. */
  fenceOf(worker: string): number | undefined {
    return this.#leases.get(worker)?.fence
  }

  #seek({ name, lease }: ResolvedWorker, apply: (event: LeaseEvent) => void): void {
    this.#leases.get(name)?.hold?.drop()
    const held: Held = { hold: undefined, fence: undefined }
    this.#leases.set(name, held)
    held.hold = this.#bus.seekLease?.(name, lease?.ttlMs ?? 0, {
      won(fence) {
        held.fence = Number(fence) // microseconds: below 2^53 until 2255
        runInScope(undefined, () => apply({ type: 'lease-won' }))
      },
      lost(why) {
        held.hold = undefined
        runInScope(undefined, () => apply({ type: 'lease-lost', why }))
      },
    })
  }
}
