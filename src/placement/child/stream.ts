// A durable stream read by a guest: it pulls, so the host reads no further than the guest has asked for.

import { stringify } from '../../base/json.ts'
import type { Json } from '../../base/json.ts'
import { onAbort } from '../../bus/abort.ts'
import type { Job, StreamOptions } from '../../bus/bus.ts'
import { resolveNackOptions } from '../../bus/stream-options.ts'
import type { Calls } from './calls.ts'

/** What the host answers a pull with: a job, or null at the end. */
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
    calls.ask('stream-close', String(id)).catch(() => {}) // the host closes it with the guest at the latest
  }
  const pull = async (): Promise<PulledJob | null> => {
    releases ??= ends.map((end) => onAbort(end, close))
    try {
      return (await calls.ask(
        'stream-next',
        `${id},${stringify(stream)},${settings}`,
      )) as unknown as PulledJob
    } catch (error) {
      close() // nobody who reads with `for await` comes back after that
      throw error
    }
  }
  const settle = async (method: string, job: string, options?: object): Promise<void> => {
    await calls.ask(method, `${id},${stringify(job)},${stringify(options ?? null)}`)
  }
  const next = async (): Promise<IteratorResult<Job<P>, undefined>> => {
    // Its own listener may come after one that pulls, or that stops the event.
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
      ack: () => settle('stream-ack', answer.id),
      nack: async (how) => {
        resolveNackOptions(stream, how) // the host forgets the job with the call
        await settle('stream-nack', answer.id, how)
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
