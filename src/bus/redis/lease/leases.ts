// The leases of this process, for the supervisor. A thread maintains them; it starts with the first lease.

import { Worker } from 'node:worker_threads'
import type { Clock, Timer } from '../../../base/clock.ts'
import { ownFile } from '../../../base/own-files.ts'
import type { BusEvent, LeaseEvents, LeaseHold } from '../../bus.ts'
import type { ServerAddress } from '../locate.ts'
import { HEARTBEAT_MS } from './protocol.ts'
import type { FromThread, LeaseThreadData, ToThread } from './protocol.ts'

export interface LeasesOptions {
  readonly address: ServerAddress
  readonly herd: string
  readonly token: string
  readonly clock: Clock
  readonly onEvent: (event: BusEvent) => void
}

const ENTRY = ownFile('bus/redis/lease/thread-entry.js')

export class Leases {
  readonly #options: LeasesOptions
  readonly #seekers = new Map<
    number,
    { readonly name: string; readonly ttlMs: number; readonly events: LeaseEvents }
  >()
  readonly #heartbeat = new Int32Array(new SharedArrayBuffer(4))
  #thread: Worker | undefined
  #timer: Timer | undefined
  #connected = false
  #last = 0
  #closed = false

  constructor(options: LeasesOptions) {
    this.#options = options
  }

  get connections(): number {
    return this.#connected ? 1 : 0
  }

  /** Seeks the lease until it is won, then renews it until it is lost or dropped. */
  seek(name: string, ttlMs: number, events: LeaseEvents): LeaseHold {
    const id = ++this.#last
    this.#seekers.set(id, { name, ttlMs, events })
    this.#send({ do: 'seek', id, name, ttlMs })
    return {
      drop: () => {
        if (this.#seekers.delete(id)) this.#send({ do: 'drop', id })
      },
    }
  }

  /** Drops all leases and ends the thread. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#seekers.clear()
    const thread = this.#thread
    if (thread === undefined) return
    const gone = new Promise<void>((resolve) => thread.once('exit', () => resolve()))
    thread.postMessage({ do: 'end' } satisfies ToThread)
    const limit = this.#options.clock.setTimer(END_MS, () => void thread.terminate())
    await gone
    limit.cancel()
  }

  #send(message: ToThread): void {
    if (this.#closed) return
    this.#thread ??= this.#start()
    this.#thread.postMessage(message)
  }

  #start(): Worker {
    const { address, herd, token } = this.#options
    const workerData: LeaseThreadData = {
      address,
      herd,
      token,
      heartbeat: this.#heartbeat.buffer as SharedArrayBuffer,
    }
    const thread = new Worker(ENTRY, {
      workerData,
      env: {},
      execArgv: [],
      stdout: false,
      name: 'byre-leases',
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 },
    })
    thread.on('message', (message: FromThread) => this.#receive(message))
    let failure = 'it exited'
    thread.once('error', (error: Error) => (failure = error.message))
    thread.once('exit', () => {
      if (this.#closed || this.#thread !== thread) return
      this.#thread = undefined
      this.#connected = false
      this.#threadFailed(failure)
    })
    this.#sendHeartbeat()
    return thread
  }

  /** Reports every lease as lost, because the thread that renewed them has failed. A caller may seek again. */
  #threadFailed(reason: string): void {
    this.#options.onEvent({ event: 'bus-down', connection: 'leases', reason: `its thread failed: ${reason}` })
    for (const [id, { events }] of this.#seekers) {
      this.#seekers.delete(id)
      events.lost(`the thread that renews it failed: ${reason}`)
    }
  }

  #receive(message: FromThread): void {
    const { onEvent } = this.#options
    switch (message.event) {
      case 'up':
        this.#connected = true
        return onEvent({ event: 'bus-up', connection: 'leases', attempts: 1 })
      case 'down':
        this.#connected = false
        return onEvent({ event: 'bus-down', connection: 'leases', reason: message.reason })
      case 'refused': {
        const lease = this.#seekers.get(message.id)?.name
        if (lease !== undefined) onEvent({ event: 'bus-lease-refused', lease, reason: message.reason })
        return
      }
      case 'won':
        return this.#seekers.get(message.id)?.events.won(message.fence)
      case 'lost': {
        const seeker = this.#seekers.get(message.id)
        this.#seekers.delete(message.id)
        return seeker?.events.lost(message.reason)
      }
    }
  }

  /** Shows the thread that the main loop is running. */
  #sendHeartbeat(): void {
    Atomics.add(this.#heartbeat, 0, 1)
    this.#timer?.cancel()
    if (!this.#closed)
      this.#timer = this.#options.clock.setTimer(HEARTBEAT_MS, () => this.#sendHeartbeat(), { unref: true })
  }
}

/** Longest wait for the thread to drop the leases on the server, milliseconds. */
const END_MS = 1000
