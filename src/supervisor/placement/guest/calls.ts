// What a guest asks its host for and waits for: numbered calls, answered in any order.

import { ByreError } from '../../../base/errors.ts'
import type { Json } from '../../../base/json.ts'
import type { Link } from '../wire/link.ts'
import { unpackError } from '../wire/protocol.ts'

/** Most calls that may wait for their answer; a publish that is awaited never comes near. */
export const CALLS_MAX = 100_000

interface Waiting {
  readonly method: string
  resolve(value: unknown): void
  reject(error: unknown): void
}

export class Calls {
  readonly #link: Link
  readonly #waiting = new Map<number, Waiting>()
  #last = 0

  constructor(link: Link) {
    this.#link = link
  }

  get size(): number {
    return this.#waiting.size
  }

  /** `values` is JSON text: the arguments, comma-separated. Rejects BYRE_BUS_OVERFLOW beyond CALLS_MAX. */
  ask(method: string, values: string, signal?: AbortSignal): Promise<Json> {
    return this.#ask(
      method,
      (id) => this.#link.send(`["c",${id},"${method}",${values}]`),
      signal,
    ) as Promise<Json>
  }

  /** For values that are no JSON; only from a thread. Rejects with DataCloneError for what has no clone. */
  post(method: string, values: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    return this.#ask(method, (id) => this.#link.post(['c', id, method, ...values]), signal)
  }

  #ask(method: string, send: (id: number) => void, signal?: AbortSignal): Promise<unknown> {
    if (this.#waiting.size >= CALLS_MAX) return Promise.reject(tooMany(method))
    const id = ++this.#last
    return new Promise((resolve, reject) => {
      send(id)
      const onAbort = (): void => {
        this.#waiting.delete(id)
        this.#link.send(`["a",${id}]`)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      const release = (): void => signal?.removeEventListener('abort', onAbort)
      this.#waiting.set(id, {
        method,
        resolve: (value) => {
          release()
          resolve(value)
        },
        reject: (error) => {
          release()
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
  }

  answered(id: number, value: unknown): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.resolve(value)
  }

  failed(id: number, error: unknown): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    waiting?.reject(unpackError(error))
  }
}

function tooMany(method: string): ByreError {
  return new ByreError(
    'BYRE_BUS_OVERFLOW',
    `Cannot ${method}: ${CALLS_MAX} calls of this worker to the bus wait for their answer already. Await them before sending more.`,
    { details: { limit: CALLS_MAX } },
  )
}
