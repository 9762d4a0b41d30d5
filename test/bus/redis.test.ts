// The Redis bus: the contract on a real server, and its additional guarantees while the server works.
import t from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { BusEvent, HostBus } from '../../src/bus/bus.ts'
import { openRedisBus } from '../../src/bus/redis.ts'
import type { RedisBusOptions } from '../../src/bus/redis.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { busContract, CONTRACT_LIMITS } from './contract.ts'
import { flush, listen, payloads, serve } from './contract/harness.ts'

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)
  const server = await startRedis()
  t.teardown(() => server.stop())
  let herds = 0
  const open = (options: Partial<RedisBusOptions> = {}): Promise<HostBus> =>
    openRedisBus({
      ...CONTRACT_LIMITS,
      clock: systemClock,
      herd: `h${++herds}`,
      server: { url: server.url },
      onFault: (error) => {
        throw error
      },
      ...options,
    })

  busContract(t, 'redis', async () => {
    const bus = await open()
    return { bus, close: () => bus.close() }
  })

  t.test('its kind is redis and it holds two connections, for any number of subscriptions', async (t) => {
    const bus = await open({ herd: 'two' })
    t.teardown(() => bus.close())
    t.equal(bus.kind, 'redis')
    for (let n = 0; n < 18; n++) {
      const worker = bus.scoped(`w${n}`)
      await worker.subscribe(`work.${n}`).ready
      await worker.subscribe(`work.*.${n}`).ready
    }
    await serve(bus, 'ask', (m) => m.reply!('yes'))
    await bus.request('ask', null)
    t.equal(bus.connections, 2)
    const clients = String(await server.call('CLIENT', 'LIST'))
    const ours = clients.split('\n').filter((line) => line.includes(' name=byre:two:'))
    t.equal(ours.length, 2, clients)
    t.match(bus.health, { up: true, gaps: 0, unsent: 0, rejected: 0, malformed: 0 })
  })

  t.test('a pattern is subscribed upstream once, until its last subscription closes', async (t) => {
    const bus = await open({ herd: 'refs' })
    t.teardown(() => bus.close())
    const channels = async (): Promise<unknown> => server.call('PUBSUB', 'CHANNELS', 'byre:refs:*')
    const numsub = async (): Promise<unknown> => server.call('PUBSUB', 'NUMSUB', 'byre:refs:a.b')
    const [one, two] = [bus.subscribe('a.b'), bus.subscribe('a.b')]
    const release = bus.tap('a.b', () => {})
    await Promise.all([one.ready, two.ready])
    t.same(await channels(), ['byre:refs:a.b'])
    t.same(await numsub(), ['byre:refs:a.b', 1])
    one.close()
    release()
    await flush(bus)
    t.same(await channels(), ['byre:refs:a.b'])
    two.close()
    await flush(bus)
    t.notOk(((await channels()) as string[]).includes('byre:refs:a.b'))
  })

  t.test('two processes of a herd receive messages from each other; another herd does not', async (t) => {
    const [a, b, other] = [
      await open({ herd: 'same' }),
      await open({ herd: 'same' }),
      await open({ herd: 'sam' }),
    ]
    t.teardown(() => Promise.all([a.close(), b.close(), other.close()]))
    const spy = other.subscribe('>')
    await spy.ready
    const { take } = await listen(b, 'x.*')
    await a.publish('x.1', { n: 1 })
    t.same(payloads(await take(1)), [{ n: 1 }])
    await serve(b, 'far', (m) => m.reply!({ got: m.payload }))
    t.same(await a.request('far', 7), { got: 7 })
    t.equal(spy.queued, 0)
  })

  t.test('messages that match a Redis glob but not the NATS pattern are not delivered', async (t) => {
    const bus = await open()
    t.teardown(() => bus.close())
    const cases: [pattern: string, hears: string[], not: string[]][] = [
      ['a.*', ['a.b'], ['a.b.c', 'a']],
      ['g?.*', ['g?.x'], ['gx.x']],
      ['g[ab].>', ['g[ab].x', 'g[ab].x.y'], ['ga.x', 'g[ab]']],
      ['g\\d.*', ['g\\d.x'], ['gd.x']],
      ['g^.*', ['g^.x'], []],
    ]
    for (const [pattern, hears, not] of cases) {
      const { sub, take } = await listen(bus, pattern)
      for (const topic of [...not, ...hears]) await bus.publish(topic, topic)
      t.same(payloads(await take(hears.length)), hears, pattern)
      await flush(bus)
      t.equal(sub.queued, 0, pattern)
      sub.close()
    }
  })

  t.test(
    'overlapping patterns deliver each message once, and the same text published twice is delivered twice',
    async (t) => {
      const bus = await open({ herd: 'dup' })
      t.teardown(() => bus.close())
      const readers = await Promise.all(
        ['a.b', 'a.*', '*.b', '>', 'a.b'].map((p) => listen(bus, p, { buffer: 50 })),
      )
      for (let n = 0; n < 5; n++) await bus.publish('a.b', n)
      for (const { take } of readers) t.same(payloads(await take(5)), [0, 1, 2, 3, 4])
      const text = '{"v":1,"id":"same","ts":1,"payload":"raw"}'
      await server.call('PUBLISH', 'byre:dup:a.b', text)
      await server.call('PUBLISH', 'byre:dup:a.b', text)
      for (const { take, sub } of readers) {
        t.same(payloads(await take(2)), ['raw', 'raw'])
        t.equal(sub.queued, 0)
      }
    },
  )

  t.test('a malformed message is counted, reported and otherwise ignored', async (t) => {
    const events: BusEvent[] = []
    const bus = await open({ herd: 'mal', onEvent: (event) => events.push(event) })
    t.teardown(() => bus.close())
    const { take } = await listen(bus, '>', { buffer: 50 })
    const hostile = [
      '',
      'x',
      '[]',
      '{"v":2}',
      '{"v":1,"id":"i","ts":1}',
      '{"v":1,"id":"i","ts":1,"payload":1,"replyTo":"*"}',
      '['.repeat(3000),
      'x'.repeat(20_000),
    ]
    for (const text of hostile) await server.call('PUBLISH', 'byre:mal:bad', text)
    await server.call('PUBLISH', 'byre:mal:bad topic', '{"v":1,"id":"i","ts":1,"payload":1}')
    await server.call('PUBLISH', 'byre:mal:_inbox.x.1', '{"v":1,"id":"i","ts":1,"payload":1}')
    await bus.publish('good', 1)
    t.same(payloads(await take(1)), [1])
    t.equal(bus.health!.malformed, hostile.length + 1)
    const reported = events.filter(({ event }) => event === 'bus-malformed')
    t.match(reported, [{ topic: 'bad', count: 1 }], 'a flood of them is reported once in 10 s')
    t.equal(reported.length, 1)
  })

  t.test(
    'a process receives what it publishes right after it subscribed, without awaiting ready',
    async (t) => {
      const bus = await open()
      t.teardown(() => bus.close())
      for (let n = 0; n < 50; n++) {
        const sub = bus.subscribe(`fence.${n}`)
        await bus.publish(`fence.${n}`, n)
        for await (const message of sub) {
          t.equal(message.payload, n)
          break
        }
      }
    },
  )

  t.test('an invalid address is refused without quoting it', async (t) => {
    for (const url of ['', 'http://u:geheim@h', 'redis://', 'redis://:geheim@:1'])
      await t.rejects(open({ server: { url } }), {
        code: 'BYRE_ARGUMENT_INVALID',
        message: /^(?!.*geheim).*$/s,
      })
  })
}
