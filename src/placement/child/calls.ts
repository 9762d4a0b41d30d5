// What a guest asks its host for and waits for: numbered calls, answered in any order.

import { ByreError } from '../../base/errors.ts'
import type { Json } from '../../base/json.ts'
import { onAbort } from '../../bus/abort.ts'
import type { Link } from '../wire/link.ts'
import { unpackError } from '../wire/protocol.ts'

/** Most calls that may wait for their answer; a publish that is awaited never comes near. */
const CALLS_MAX = 100_000
/** Most characters of calls that may wait for their answer, unless one alone is longer: all of them are with the host. */
export const CALLS_LENGTH_MAX: number = 16 * 1024 * 1024

interface Waiting {
  readonly method: string
  /** Characters of its arguments; 0 for what is posted, or bounded elsewhere. */
  readonly length: number
  resolve(value: unknown): void
  reject(error: unknown): void
}

export class Calls {
  readonly #link: Link
  readonly #waiting = new Map<number, Waiting>()
  #last = 0
  #length = 0

  constructor(link: Link) {
    this.#link = link
  }

  get size(): number {
    return this.#waiting.size
  }

  /** `values` is JSON text: the arguments, comma-separated; `length` is what it counts for. Rejects BYRE_BUS_OVERFLOW
   *  beyond CALLS_MAX and CALLS_LENGTH_MAX. */
  ask(method: string, values: string, signal?: AbortSignal, length: number = values.length): Promise<Json> {
    return this.#ask(
      method,
      length,
      (id) => this.#link.send(`["c",${id},"${method}",${values}]`),
      signal,
    ) as Promise<Json>
  }

  /** For values that are no JSON; only from a thread. Rejects with DataCloneError for what has no clone. */
  post(method: string, values: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    return this.#ask(method, 0, (id) => this.#link.post(['c', id, method, ...values]), signal)
  }

  #ask(method: string, length: number, send: (id: number) => void, signal?: AbortSignal): Promise<unknown> {
    const full = length > 0 && this.#length > 0 && this.#length + length > CALLS_LENGTH_MAX
    if (full || this.#waiting.size >= CALLS_MAX) return Promise.reject(this.#tooMany(method))
    this.#length += length
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      send(id)
      const release =
        signal === undefined
          ? undefined
          : onAbort(signal, () => {
              this.#take(id)
              this.#link.send(`["a",${id}]`)
              reject(signal?.reason)
            })
      this.#waiting.set(id, {
        method,
        length,
        resolve: (value) => {
          release?.()
          resolve(value)
        },
        reject: (error) => {
          release?.()
          reject(error)
        },
      })
    })
  }

  /** The worker's bus is closed: what was sent is with the host, what was asked for is not awaited any more. */
  close(error: (method: string) => ByreError): void {
    for (const waiting of this.#waiting.values()) {
      if (waiting.method === 'publish' || waiting.method === 'reply') waiting.resolve(undefined)
      else waiting.reject(error(waiting.method))
    }
    this.#waiting.clear()
    this.#length = 0
  }

  answered(id: number, value: unknown): void {
    this.#take(id)?.resolve(value)
  }

  failed(id: number, error: unknown): void {
    this.#take(id)?.reject(unpackError(error))
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    if (this.#waiting.delete(id)) this.#length -= waiting?.length ?? 0
    return waiting
  }

  #tooMany(method: string): ByreError {
    const waiting = this.#waiting.size
    return new ByreError(
      'BYRE_BUS_OVERFLOW',
      `Cannot ${method}: ${waiting} calls of this worker to the bus, of ${this.#length} characters, wait for their answer already (at most ${CALLS_MAX} and ${CALLS_LENGTH_MAX}). Await them before sending more.`,
      { details: { waiting, limit: CALLS_MAX, length: this.#length, lengthLimit: CALLS_LENGTH_MAX } },
    )
  }
}
