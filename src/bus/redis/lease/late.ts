// Leases whose code and thread come with the first that is sought: most herds have none.

import type { LeaseEvents, LeaseHold } from '../../bus.ts'
import type { Leases } from './leases.ts'

export class LateLeases {
  readonly #load: () => Promise<Leases>
  #loading: Promise<Leases> | undefined
  #loaded: Leases | undefined
  #closed = false

  constructor(load: () => Promise<Leases>) {
    this.#load = load
  }

  get connections(): number {
    return this.#loaded?.connections ?? 0
  }

  seek(name: string, ttlMs: number, events: LeaseEvents): LeaseHold {
    let dropped = false
    let hold: LeaseHold | undefined
    this.#loading ??= this.#load()
    void this.#loading.then((leases) => {
      this.#loaded = leases
      if (!dropped && !this.#closed) hold = leases.seek(name, ttlMs, events)
    })
    return {
      drop() {
        dropped = true
        hold?.drop()
      },
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await (await this.#loading)?.close()
  }
}
