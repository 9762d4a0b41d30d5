// A durable stream read by a guest: it pulls, so the host reads no further than the guest has asked for.

import { stringify } from '../../../base/json.ts'
import type { Json } from '../../../base/json.ts'
import { onAbort } from '../../../bus/abort.ts'
import type { Job, StreamOptions } from '../../../bus/bus.ts'
import { resolveNackOptions } from '../../../bus/stream-options.ts'
import type { Calls } from './calls.ts'

/** What the host answers a pull with: a job, or null at the end. */
interface PulledJob {
  readonly id: string
  readonly payload: Json
  readonly deliveries: number
  readonly dead?: NonNullable<Job['dead']>
}

/** The jobs of `stream`, until the options' signal or `ending` aborts. The first pull opens it. */
export function guestStream<P>(
  calls: Calls,
  id: number,
  stream: string,
  options: StreamOptions | undefined,
  ending: AbortSignal,
): AsyncIterable<Job<P>> {
  const { signal, ...rest } = options ?? {}
  const settings = stringify(rest)
  const ends = signal === undefined ? [ending] : [signal, ending]
  let over = ends.some(({ aborted }) => aborted)
  const close = (): void => {
    if (over) return
    over = true
    release()
    calls.ask('stream-close', String(id)).catch(() => {}) // the host closes it with the guest at the latest
  }
  const settle = async (method: string, job: string, options?: object): Promise<void> => {
    await calls.ask(method, `${id},${stringify(job)},${stringify(options ?? null)}`)
  }
  const next = async (): Promise<IteratorResult<Job<P>, undefined>> => {
    if (over) return { value: undefined, done: true }
    const answer = (await calls.ask(
      'stream-next',
      `${id},${stringify(stream)},${settings}`,
    )) as unknown as PulledJob | null
    if (answer === null || over) {
      over = true
      release()
      return { value: undefined, done: true }
    }
    const value: Job<P> = {
      ...answer,
      payload: answer.payload as P,
      ack: () => settle('stream-ack', answer.id),
      nack: async (how) => {
        resolveNackOptions(stream, how) // the host forgets the job with the call
        await settle('stream-nack', answer.id, how)
      },
    }
    return { value, done: false }
  }
  const releases = over ? [] : ends.map((end) => onAbort(end, close))
  const release = (): void => releases.forEach((one) => one())
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
