// The bus of one run of a worker: kept messages are claimed from the worker's inbox, unread ones are returned to it.

import type { HostBus, RawDelivery, ScopedBus, ScopedBusOptions } from '../bus/bus.ts'
import { noteEntry } from '../ownership/run-scope.ts'
import type { RunScope } from '../ownership/run-scope.ts'
import type { BusOwner } from './runner-host.ts'

type RunOf = (worker: string) => RunScope | undefined

/** `runOf` returns the run of a worker in the shared loop, if it has one. */
export function openRunBus(bus: HostBus, owner: BusOwner, runOf: RunOf): ScopedBus {
  return bus.scoped(owner.name, new RunBusOptions(owner, runOf))
}

/** A class instead of closures, because each loaded worker keeps an instance. */
class RunBusOptions implements ScopedBusOptions {
  readonly #owner: BusOwner
  readonly #runOf: RunOf

  constructor(owner: BusOwner, runOf: RunOf) {
    this.#owner = owner
    this.#runOf = runOf
  }
  claim(covers: (topic: string) => boolean): readonly RawDelivery[] {
    return this.#owner.inbox.claim(covers)
  }
  returned(deliveries: readonly RawDelivery[]): void {
    this.#owner.inbox.giveBack(deliveries, this.#owner.spec)
  }
  delivering(): void {
    const scope = this.#runOf(this.#owner.name)
    if (scope !== undefined) noteEntry(scope)
  }
}
