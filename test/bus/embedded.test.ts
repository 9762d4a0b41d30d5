// The embedded bus: the contract, and the guarantees that only a bus within one process gives.
import { AsyncLocalStorage } from 'node:async_hooks'
import t from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { HostBus } from '../../src/bus/bus.ts'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'
import { MAX_PENDING } from '../../src/bus/requests.ts'
import type { Drop } from '../../src/bus/carrier.ts'
import type { EmbeddedBusOptions } from '../../src/bus/router.ts'
import { busContract, CONTRACT_LIMITS } from './contract.ts'
import { listen, payloads } from './contract/harness.ts'

function make(options: Partial<EmbeddedBusOptions> = {}): HostBus {
  return createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock, ...options })
}

/** A clock that advances only on request and records the active timers. */
function stoppedClock(): Clock & { readonly timers: Map<() => void, number> } {
  const timers = new Map<() => void, number>()
  return {
    timers,
    now: () => 1_700_000_000_000,
    monotonic: () => 0,
    setTimer(delayMs, fn) {
      const once = (): void => fn()
      timers.set(once, delayMs)
      return { cancel: () => void timers.delete(once) }
    },
  }
}

busContract(t, 'embedded', async () => {
  const bus = make({
    onFault: (error) => {
      throw error
    },
  })
  return { bus, close: () => bus.close() }
})

t.test('its kind is embedded and it has no connection', async (t) => {
  const bus = make()
  t.equal(bus.kind, 'embedded')
  t.equal(bus.connections, 0)
})

t.test('enqueue and stream are refused, naming the Redis bus', async (t) => {
  const bus = make()
  const refusal = { code: 'BYRE_BUS_UNSUPPORTED', message: /'jobs'.*redis:\/\// }
  for (const on of [bus, bus.scoped('worker')]) {
    await t.rejects(on.enqueue('jobs', 1), refusal)
    await t.rejects(async () => {
      for await (const _ of on.stream('jobs')) t.fail('there are no jobs')
    }, refusal)
  }
})

t.test('when publish returns, the message is queued or handed over, without an await', async (t) => {
  const bus = make()
  const sub = bus.subscribe('x')
  void bus.publish('x', 1)
  t.equal(sub.queued, 1)
  const seen: unknown[] = []
  bus.tap('x', (delivery) => seen.push(delivery.topic))
  void bus.publish('x', 2)
  t.same(seen, ['x'])
})

t.test('it has no timer unless a request is pending', async (t) => {
  const clock = stoppedClock()
  const bus = make({ clock })
  const worker = bus.scoped('worker')
  const { take } = await listen(worker, 'x')
  const release = bus.tap('>', () => {})
  void bus.publish('x', 1)
  await take(1)
  release()
  t.equal(clock.timers.size, 0)

  const answered = bus.request('x', 2)
  t.same([...clock.timers.values()], [5000], 'the default timeout')
  await (await take(1))[0]!.reply!('ok')
  await answered
  t.equal(clock.timers.size, 0, 'none after the reply')

  const expired = t.rejects(bus.request('nobody', 1, { timeout: '1m' }), {
    code: 'BYRE_BUS_REQUEST_TIMEOUT',
    message: /within 1m\. The topic had no subscribers\./,
    details: { receivers: 0, timeoutMs: 60_000 },
  })
  for (const fire of clock.timers.keys()) fire()
  await expired
  t.equal(clock.timers.size, 0, 'none after the timeout')

  await t.rejects(bus.request('bad topic', 1))
  await t.rejects(bus.request('x', undefined as never))
  t.equal(clock.timers.size, 0, 'none after a refusal')

  const abandoned = t.rejects(worker.request('nobody', 1), { code: 'BYRE_BUS_CLOSED' })
  worker.closeAll()
  await abandoned
  t.equal(clock.timers.size, 0, 'none after the worker ended')
})

t.test(
  'pending requests are limited per worker, and one worker does not use up the limit of another',
  async (t) => {
    const bus = make({ clock: stoppedClock() })
    const [greedy, modest] = [bus.scoped('greedy'), bus.scoped('modest')]
    const waiting = Array.from({ length: MAX_PENDING }, () => greedy.request('x', 1).catch((e: Error) => e))
    await t.rejects(greedy.request('x', 1), { code: 'BYRE_BUS_OVERFLOW' })
    const fine = modest.request('x', 1).catch(() => 'closed')
    greedy.closeAll()
    for (const error of await Promise.all(waiting)) if (!(error instanceof Error)) t.fail('not rejected')
    modest.closeAll()
    t.equal(await fine, 'closed')
  },
)

t.test('each dropped message is reported with owner, pattern, topic and count', async (t) => {
  const drops: Drop[] = []
  const bus = make({ onDrop: (drop) => drops.push(drop) })
  bus.scoped('slow').subscribe('a.*', { buffer: 1 })
  bus.subscribe('a.>', { buffer: 2, overflow: 'fail' })
  for (const n of [1, 2, 3]) await bus.publish(`a.${n}`, n)
  const ofSlow = { owner: 'slow', pattern: 'a.*', overflow: 'drop-oldest' } as const
  t.same(
    drops.filter((d) => d.owner === 'slow'),
    [
      { ...ofSlow, topic: 'a.1', dropped: 1 },
      { ...ofSlow, topic: 'a.2', dropped: 2 },
    ],
  )
  t.same(
    drops.filter((d) => d.owner === undefined),
    [{ pattern: 'a.>', topic: 'a.3', overflow: 'fail', dropped: 1 }],
  )
})

t.test(
  'a fault in byre’s own tap, claim or onDrop reaches onFault, not the worker that published',
  async (t) => {
    const faults: unknown[] = []
    const boom = (what: string) => (): never => {
      throw new Error(what)
    }
    const bus = make({ onDrop: boom('drop'), onFault: (error) => faults.push((error as Error).message) })
    bus.tap('x', boom('tap'))
    const { take } = await listen(bus.scoped('worker', { claim: boom('claim') }), 'x', { buffer: 1 })
    const bad = bus.scoped('other', { claim: () => [{ topic: 'y', envelope: '{"v":2}' }] })
    const other = await listen(bad, 'y')
    await t.resolves(bus.publish('x', 1))
    await t.resolves(bus.publish('x', 2))
    t.match(faults, ['claim', /Cannot read a bus envelope/, 'tap', 'drop', 'tap'])
    t.same(payloads(await take(1)), [2], 'the message was delivered')
    t.equal(other.sub.queued, 0)
  },
)

t.test('a message published by a tap follows the message that caused it, for every receiver', async (t) => {
  const bus = make()
  const seen: unknown[] = []
  bus.tap('chain.*', ({ topic }) => {
    if (topic === 'chain.1') void bus.publish('chain.2', 2)
  })
  bus.tap('chain.*', ({ topic }) => seen.push(topic))
  const { take } = await listen(bus, 'chain.*')
  void bus.publish('chain.1', 1)
  t.same(seen, ['chain.1', 'chain.2'])
  t.same(payloads(await take(2)), [1, 2])
})

t.test('a tap released during a delivery is not called', async (t) => {
  const bus = make()
  const seen: string[] = []
  const releases: (() => void)[] = []
  for (const name of ['a', 'b'])
    releases.push(
      bus.tap('x', () => {
        seen.push(name)
        for (const release of releases) release()
      }),
    )
  void bus.publish('x', 1)
  t.equal(seen.length, 1)
  t.notOk(bus.hasSubscribers('x'))
})

t.test('hasSubscribers is false without subscribers and taps', async (t) => {
  const bus = make()
  t.notOk(bus.hasSubscribers('x'))
  const release = bus.tap('*', () => {})
  t.ok(bus.hasSubscribers('x'))
  release()
  const sub = bus.subscribe('x')
  t.ok(bus.hasSubscribers('x'))
  sub.close()
  t.notOk(bus.hasSubscribers('x'))
  const failing = bus.subscribe('x', { buffer: 1, overflow: 'fail' })
  await bus.publish('x', 1)
  await bus.publish('x', 2)
  t.notOk(bus.hasSubscribers('x'), 'a failed subscription receives no messages')
  failing.close()
})

t.test('routes are correct after any change, also for more topics than the cache holds', async (t) => {
  const bus = make()
  const topics = Array.from({ length: 1000 }, (_, i) => `many.${i}`)
  for (const topic of topics) await bus.publish(topic, 0)
  const { sub, take } = await listen(bus, 'many.*', { buffer: 2000 })
  for (const topic of topics) await bus.publish(topic, topic)
  t.same(payloads(await take(1000)), topics)
  sub.close()
  for (const topic of topics) t.notOk(bus.hasSubscribers(topic))
})

t.test('a consumer does not run in the async context of the publisher that wakes it', async (t) => {
  const bus = make()
  const context = new AsyncLocalStorage<string>()
  const seen: unknown[] = []
  const consumer = context.run('consumer', async () => {
    const sub = bus.subscribe('x')
    for await (const message of sub) {
      seen.push([message.payload, context.getStore()])
      await new Promise((resolve) => setImmediate(resolve))
      seen.push(context.getStore())
      if (message.payload === 2) break
    }
  })
  await new Promise((resolve) => setImmediate(resolve))
  context.run('one', () => void bus.publish('x', 1))
  context.run('two', () => void bus.publish('x', 2))
  await consumer
  t.same(seen, [[1, 'consumer'], 'consumer', [2, 'consumer'], 'consumer'])
})
