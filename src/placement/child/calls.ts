// Calls of a child to the supervisor: numbered, answered in any order. A durable stream is read by such calls: it pulls, so
// the supervisor reads no further than the child has requested.

import { ByreError } from '../../base/errors.ts'
import { stringify } from '../../base/json.ts'
import type { Json } from '../../base/json.ts'
import { onAbort } from '../../bus/abort.ts'
import type { Job, StreamOptions } from '../../bus/bus.ts'
import { resolveNackOptions } from '../../bus/stream-options.ts'
import type { Link } from '../wire/link.ts'
import { unpackError } from '../wire/protocol.ts'

/** Maximum number of unanswered calls; awaited publishes stay far below it. */
const CALLS_MAX = 100_000
/** Maximum length of all unanswered calls, characters; a single call may be longer. */
export const CALLS_LENGTH_MAX: number = 16 * 1024 * 1024

interface Waiting {
  readonly method: string
  /** Characters of its arguments; 0 for a call that is posted or bounded elsewhere. */
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

  /** `values` is JSON text: the arguments, comma-separated; `length` counts against CALLS_LENGTH_MAX. Rejects with
   *  BYRE_BUS_OVERFLOW beyond CALLS_MAX or CALLS_LENGTH_MAX. */
  ask(method: string, values: string, signal?: AbortSignal, length: number = values.length): Promise<Json> {
    return this.#ask(
      method,
      length,
      (id) => this.#link.send(`["c",${id},"${method}",${values}]`),
      signal,
    ) as Promise<Json>
  }

  /** For values that JSON cannot represent; from a thread only. Rejects with DataCloneError if a value cannot be cloned. */
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

  /** The worker's bus is closed: sent messages have reached the supervisor, other calls are no longer awaited. */
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
      `Cannot ${method}: ${waiting} calls of this worker to the bus, of ${this.#length} characters, are still unanswered (at most ${CALLS_MAX} and ${CALLS_LENGTH_MAX}). Await them before sending more.`,
      { details: { waiting, limit: CALLS_MAX, length: this.#length, lengthLimit: CALLS_LENGTH_MAX } },
    )
  }
}

/** The supervisor's answer to a pull: a job, or null at the end. */
interface PulledJob {
  readonly id: string
  readonly payload: Json
  readonly deliveries: number
  readonly dead?: NonNullable<Job['dead']>
}

/** The jobs of `stream`, until the options' signal or `ending` aborts, or a pull fails. The first pull opens it. */
export function childStream<P>(
  calls: Pick<Calls, 'ask'>,
  id: number,
  stream: string,
  options: StreamOptions | undefined,
  ending: AbortSignal,
): AsyncIterable<Job<P>> {
  const { signal, ...rest } = options ?? {}
  const settings = stringify(rest)
  const ends = signal === undefined ? [ending] : [signal, ending]
  let over = false
  let releases: (() => void)[] | undefined
  const finish = (): void => {
    over = true
    for (const release of releases ?? []) release()
  }
  const close = (): void => {
    if (over) return
    finish()
    if (releases === undefined) return // not opened
    calls.ask('stream-close', String(id)).catch(() => {}) // the supervisor closes it with the child at the latest
  }
  const pull = async (): Promise<PulledJob | null> => {
    releases ??= ends.map((end) => onAbort(end, close))
    try {
      return (await calls.ask(
        'stream-next',
        `${id},${stringify(stream)},${settings}`,
      )) as unknown as PulledJob
    } catch (error) {
      close() // `for await` does not continue after a rejection
      throw error
    }
  }
  const acknowledge = async (method: string, job: string, options?: object): Promise<void> => {
    await calls.ask(method, `${id},${stringify(job)},${stringify(options ?? null)}`)
  }
  const next = async (): Promise<IteratorResult<Job<P>, undefined>> => {
    // A listener of the user may pull, or stop the event, before byre's listener is called.
    if (ends.some(({ aborted }) => aborted)) close()
    if (over) return { value: undefined, done: true }
    const answer = await pull()
    if (answer === null || over) {
      finish()
      return { value: undefined, done: true }
    }
    const value: Job<P> = {
      ...answer,
      payload: answer.payload as P,
      ack: () => acknowledge('stream-ack', answer.id),
      nack: async (how) => {
        resolveNackOptions(stream, how) // the supervisor drops the job with the call
        await acknowledge('stream-nack', answer.id, how)
      },
    }
    return { value, done: false }
  }
  return {
    [Symbol.asyncIterator]: () => ({
      next,
      return: async () => {
        close()
        return { value: undefined, done: true }
      },
    }),
  }
}
