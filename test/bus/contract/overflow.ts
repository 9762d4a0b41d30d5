// A slow subscriber: its buffer is bounded, and messages that overflow are dropped by the policy and counted.
import type { Message, OverflowPolicy } from '../../../src/bus/bus.ts'
import { CONTRACT_LIMITS, flush, listen, payloads } from './harness.ts'
import type { Law } from './harness.ts'

/** Publishes 1..count to `topic` and waits until they are delivered. */
const fill = async (bus: Parameters<Law>[1], topic: string, count: number): Promise<void> => {
  for (let n = 1; n <= count; n++) await bus.publish(topic, n)
  await flush(bus)
}

const dropLaw =
  (overflow: OverflowPolicy, kept: number[]): Law =>
  async (t, bus) => {
    const scope = bus.scoped('slow')
    const { sub, take } = await listen(scope, 'o', { buffer: 3, overflow })
    const fast = await listen(bus, 'o')
    await fill(bus, 'o', 5)
    t.equal(sub.queued, 3)
    t.equal(sub.dropped, 2)
    t.equal(scope.dropped, 2)
    t.same(payloads(await take(3)), kept)
    await bus.publish('o', 6)
    t.same(payloads(await take(1)), [6], 'it continues')
    t.same(payloads(await fast.take(6)), [1, 2, 3, 4, 5, 6], 'another subscriber lost nothing')
    sub.close()
    t.equal(scope.dropped, 2, 'the scope keeps the count of a closed subscription')
  }

export const overflowLaws: Record<string, Law> = {
  'drop-oldest keeps the newest': dropLaw('drop-oldest', [3, 4, 5]),

  'drop-newest keeps the oldest': dropLaw('drop-newest', [1, 2, 3]),

  'fail delivers queued messages, then rejects once, then is done': async (t, bus) => {
    const scope = bus.scoped('slow')
    const { sub, next, take } = await listen(scope, 'o', { buffer: 2, overflow: 'fail' })
    await fill(bus, 'o', 5)
    t.equal(sub.dropped, 1, 'only the message that overflowed is counted')
    t.same(payloads(await take(2)), [1, 2])
    await t.rejects(next(), { code: 'BYRE_BUS_OVERFLOW', details: { pattern: 'o', buffer: 2 } })
    t.same(await next(), { value: undefined, done: true })
    t.equal(scope.openSubscriptions, 0)
  },

  'a failed subscription can still be closed': async (t, bus) => {
    const abort = new AbortController()
    const { sub, next } = await listen(bus, 'o', { buffer: 1, overflow: 'fail', signal: abort.signal })
    await fill(bus, 'o', 3)
    abort.abort()
    t.same(await next(), { value: undefined, done: true })
    t.equal(sub.queued, 0)
  },

  'the default is drop-oldest with the limit of the herd': async (t, bus) => {
    const { sub, take } = await listen(bus, 'o')
    await fill(bus, 'o', CONTRACT_LIMITS.buffer + 1)
    t.equal(sub.queued, CONTRACT_LIMITS.buffer)
    t.equal((await take(1))[0]!.payload, 2)
  },

  'a waiting consumer loses no message, even with the smallest buffer': async (t, bus) => {
    const { sub, next } = await listen(bus, 'o', { buffer: 1 })
    for (let n = 1; n <= 20; n++) {
      const waiting = next()
      await bus.publish('o', n)
      t.equal(((await waiting).value as Message | undefined)?.payload, n)
    }
    t.equal(sub.dropped, 0)
  },
}
