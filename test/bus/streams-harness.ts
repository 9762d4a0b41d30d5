// Helpers for tests of durable streams: a bus on a real server, and readers that take jobs one by one.
import type { Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { Bus, BusEvent, HostBus, Job, StreamOptions } from '../../src/bus/bus.ts'
import { openRedisBus } from '../../src/bus/redis.ts'
import type { RedisBusOptions } from '../../src/bus/redis.ts'
import { WAIT_MS, within } from '../helpers/events.ts'
import type { TestRedis } from '../helpers/redis.ts'

export interface Opened {
  readonly bus: HostBus
  readonly events: BusEvent[]
  /** The first event that matches, past or future. */
  readonly event: <K extends BusEvent['event']>(
    kind: K,
    fits?: (event: Extract<BusEvent, { event: K }>) => boolean,
  ) => Promise<Extract<BusEvent, { event: K }>>
}

export async function openBus(
  t: Pick<Test, 'teardown'>,
  server: Pick<TestRedis, 'url'>,
  options: Partial<RedisBusOptions> = {},
): Promise<Opened> {
  const events: BusEvent[] = []
  const waiting = new Set<() => void>()
  const bus = await openRedisBus({
    herd: 'h',
    server: { url: server.url },
    messageBytes: 1024 * 1024,
    buffer: 1000,
    clock: systemClock,
    onEvent(event) {
      events.push(event)
      for (const check of waiting) check()
    },
    ...options,
  })
  t.teardown(() => bus.close())
  return {
    bus,
    events,
    event: (kind, fits = () => true) => {
      const found = new Promise<never>((resolve) => {
        const check = (): void => {
          const known = events.find((event) => event.event === kind && fits(event as never))
          if (known === undefined) return
          waiting.delete(check)
          resolve(known as never)
        }
        waiting.add(check)
        check()
      })
      return within(
        found,
        `event '${kind}' of the bus`,
        WAIT_MS,
        () => `; there were ${JSON.stringify(events)}`,
      )
    },
  }
}

/** A clock that runs faster for the bus (polls, heartbeats, waits), not for the server. */
export function quickClock(speed: number): Clock {
  return {
    now: systemClock.now,
    monotonic: () => systemClock.monotonic() * speed,
    setTimer: (delayMs, fn, options) => systemClock.setTimer(delayMs / speed, fn, options),
  }
}

/** Takes jobs one by one. */
export interface JobReader {
  /** The next `n` jobs, neither acked nor nacked. */
  take(n: number): Promise<Job[]>
  /** The next one, acked. */
  done(): Promise<Job>
  end(): Promise<unknown>
}

export function read(bus: Bus, stream: string, options?: StreamOptions): JobReader {
  const iterator = bus.stream(stream, options)[Symbol.asyncIterator]()
  const next = async (): Promise<Job> => {
    const { value, done } = await within(iterator.next(), `a job of '${stream}'`)
    if (done === true) throw new Error(`'${stream}' ended`)
    return value
  }
  return {
    async take(n) {
      const jobs: Job[] = []
      while (jobs.length < n) jobs.push(await next())
      return jobs
    },
    async done() {
      const job = await next()
      await job.ack()
      return job
    },
    end: async () => iterator.return?.(),
  }
}

export function payloadsOf(jobs: readonly Job[]): unknown[] {
  return jobs.map((job) => job.payload)
}

/** The number of pending entries, by consumer. */
export async function pending(
  server: Pick<TestRedis, 'call'>,
  stream: string,
  group: string,
): Promise<Map<string, number>> {
  const [, , , consumers] = (await server.call('XPENDING', `byre:{h}:jobs:${stream}`, group)) as [
    number,
    string,
    string,
    [string, string][] | null,
  ]
  return new Map((consumers ?? []).map(([name, count]) => [name, Number(count)]))
}

export function total(counts: ReadonlyMap<string, number>): number {
  let sum = 0
  for (const count of counts.values()) sum += count
  return sum
}
