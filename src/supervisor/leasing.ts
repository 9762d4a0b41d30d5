// Leases of the workers of one process. Loaded only where there is a shared bus: without one no worker has a lease.

import type { HostBus, LeaseHold } from '../bus/bus.ts'
import { runInScope } from './attribution/run-scope.ts'
import type { Runner } from './runner.ts'
import type { Effect } from './state.ts'
import { supervise } from './under-lease.ts'
import type { LeaseEvent } from './under-lease.ts'

interface Held {
  hold: LeaseHold | undefined
  fence: number | undefined
}

export class Leasing {
  readonly #bus: HostBus
  readonly #leases = new Map<Runner, Held>()

  constructor(bus: HostBus) {
    this.#bus = bus
  }

  /** The transition of a worker that runs only under its lease. */
  readonly transition: typeof supervise = supervise

  /** `apply` is told when the lease is won or lost. */
  perform(runner: Runner, effect: Effect, apply: (event: LeaseEvent) => void): void {
    if (effect.type === 'seek-lease') this.#seek(runner, apply)
    else if (effect.type === 'drop-lease') {
      this.#leases.get(runner)?.hold?.drop()
      this.#leases.delete(runner)
    }
  }

  /** The fence of the lease it holds. */
  fenceOf(runner: Runner): number | undefined {
    return this.#leases.get(runner)?.fence
  }

  #seek(runner: Runner, apply: (event: LeaseEvent) => void): void {
    const { lease, name } = runner.spec
    this.#leases.get(runner)?.hold?.drop()
    const held: Held = { hold: undefined, fence: undefined }
    this.#leases.set(runner, held)
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
