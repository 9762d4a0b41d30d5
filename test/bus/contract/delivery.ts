// Which subscribers receive a message, and in which form, order and async context.
import { AsyncLocalStorage } from 'node:async_hooks'
import { decodeEnvelope } from '../../../src/bus/codec.ts'
import type { Message, RawDelivery } from '../../../src/bus/bus.ts'
import { covers } from '../../../src/bus/topics.ts'
import { CONTRACT_LIMITS, flush, listen, payloads } from './harness.ts'
import type { Law } from './harness.ts'

const PATTERNS = [
  'a',
  'a.b',
  'a.*',
  '*.b',
  '*.*',
  '*',
  '>',
  'a.>',
  'a.*.>',
  '*.>',
  'a.b.c',
  'A.b',
  'a[b]?',
  'é.*',
]
const TOPICS = ['a', 'a.b', 'a.b.c', 'b', 'b.b', 'A.b', 'a[b]?', 'ab', 'é.ü', 'a.b.c.d']
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

export const deliveryLaws: Record<string, Law> = {
  'a message reaches a subscriber of a topic that was published to before the subscription': async (
    t,
    bus,
  ) => {
    await bus.publish('late', 0)
    await flush(bus)
    const first = await listen(bus, 'late')
    await bus.publish('late', 1)
    await flush(bus) // a network may still carry it when the second one begins
    const second = await listen(bus, '*')
    await bus.publish('late', 2)
    t.same(payloads(await first.take(2)), [1, 2])
    t.same(payloads(await second.take(1)), [2])
    first.sub.close()
    await bus.publish('late', 3)
    t.same(payloads(await second.take(1)), [3])
  },

  'a pattern receives exactly the topics it covers': async (t, bus) => {
    const readers = await Promise.all(PATTERNS.map((p) => listen(bus, p, { buffer: 100 })))
    for (const topic of TOPICS) await bus.publish(topic, topic)
    await flush(bus)
    for (const { sub, take } of readers) {
      const expected = TOPICS.filter((topic) => covers(sub.pattern, topic))
      const received = await take(expected.length)
      t.same(payloads(received), expected, sub.pattern)
      t.same(
        received.map((m) => m.topic),
        expected,
        'the topic comes along',
      )
      // patterns with an open wildcard also received the marker of flush
      t.equal(
        sub.queued,
        covers(sub.pattern, 'contract.flush') ? 1 : 0,
        `${sub.pattern} received nothing else`,
      )
    }
  },

  'a message carries id, topic, ts, payload, and type and headers when given': async (t, bus) => {
    const { take } = await listen(bus, 'm.*')
    const before = Date.now()
    await bus.publish('m.plain', { n: 1 })
    await bus.publish('m.full', null, { type: 'order', headers: { traceparent: TRACEPARENT } })
    const [plain, full] = await take(2)
    t.same(Object.keys(plain!).sort(), ['id', 'payload', 'topic', 'ts'], 'no other keys on a plain message')
    t.ok(plain!.ts >= before && plain!.ts <= Date.now())
    t.match(full, { topic: 'm.full', type: 'order', headers: { traceparent: TRACEPARENT }, payload: null })
    t.not(plain!.id, full!.id, 'ids differ')
  },

  'every subscriber receives the same id and its own copy': async (t, bus) => {
    const [a, b] = [await listen(bus, 'copy'), await listen(bus, 'copy')]
    const original = { list: [1, 2], deep: { x: 1 } }
    await bus.publish('copy', original)
    const [first] = await a.take(1)
    ;(first!.payload as typeof original).list.push(3)
    ;(first!.payload as typeof original).deep.x = 9
    const [second] = await b.take(1)
    t.same(second!.payload, { list: [1, 2], deep: { x: 1 } })
    t.same(original, { list: [1, 2], deep: { x: 1 } }, 'the object of the publisher is unchanged')
    t.equal(first!.id, second!.id)
  },

  'changes by the publisher after publish are not received': async (t, bus) => {
    const { take } = await listen(bus, 'late')
    const payload = { n: 1 }
    const published = bus.publish('late', payload)
    payload.n = 2
    await published
    t.same(payloads(await take(1)), [{ n: 1 }])
  },

  'payloads follow JSON.stringify': async (t, bus) => {
    const { take } = await listen(bus, 'json', { buffer: 20 })
    const given = [null, true, 0, '', 'ü😀\u0000', [], {}, [null, [{}]], { a: { b: [1.5, -1e300] } }]
    for (const payload of [...given, new Date(0) as never, { gone: undefined, nan: NaN } as never])
      await bus.publish('json', payload)
    t.same(payloads(await take(8)), given.slice(0, 8))
    t.same(payloads(await take(3)), [given[8], '1970-01-01T00:00:00.000Z', { nan: null }])
  },

  'a payload key __proto__ stays an own key and pollutes nothing': async (t, bus) => {
    const { take } = await listen(bus, 'proto')
    await bus.publish('proto', JSON.parse('{"__proto__":{"admin":true},"constructor":{"prototype":{"x":1}}}'))
    const payload = (await take(1))[0]!.payload as Record<string, unknown>
    t.same(Object.keys(payload), ['__proto__', 'constructor'])
    t.equal(Object.getPrototypeOf(payload), Object.prototype)
    t.equal(({} as Record<string, unknown>)['admin'], undefined)
  },

  'messages of one publisher arrive in order, across topics': async (t, bus) => {
    const { take } = await listen(bus, 'order.*', { buffer: 200 })
    const sent = Array.from({ length: 100 }, (_, i) => i)
    await Promise.all(sent.map((i) => bus.publish(i % 2 === 0 ? 'order.even' : 'order.odd', i)))
    t.same(payloads(await take(100)), sent)
  },

  'a subscription receives from ready on, not from the first next()': async (t, bus) => {
    const sub = bus.subscribe('early')
    await sub.ready
    await bus.publish('early', 1)
    await flush(bus)
    t.equal(sub.queued, 1)
    for await (const message of sub) {
      t.equal(message.payload, 1)
      break
    }
  },

  'concurrent next() calls resolve in order': async (t, bus) => {
    const { next } = await listen(bus, 'waiting')
    const waiting = [next(), next(), next()]
    for (const n of [1, 2, 3]) await bus.publish('waiting', n)
    t.same(
      (await Promise.all(waiting)).map((r) => (r.value as Message | undefined)?.payload),
      [1, 2, 3],
    )
  },

  'a message is handled in the async context that awaited it, not in that of the publisher': async (
    t,
    bus,
  ) => {
    const context = new AsyncLocalStorage<string>()
    const seen: (string | undefined)[] = []
    const consumer = context.run('consumer', async () => {
      const { sub } = await listen(bus, 'context')
      for await (const _ of sub) {
        seen.push(context.getStore())
        if (seen.length === 4) return
        if (seen.length === 2) await context.run('inner', () => bus.publish('context', 'waits not'))
      }
    })
    await flush(bus)
    await context.run('publisher', () => bus.publish('context', 'it waits'))
    await context.run('publisher', () => bus.publish('context', 'queued or waits'))
    await bus.publish('context', 'from nowhere')
    await consumer
    t.same(seen, ['consumer', 'consumer', 'consumer', 'consumer'])
  },

  'an error in one subscriber reaches neither the publisher nor other subscribers': async (t, bus) => {
    const [bad, good] = [await listen(bus, 'fault'), await listen(bus, 'fault')]
    const thrown = (async () => {
      for await (const _ of bad.sub) throw new Error('from the consumer')
    })()
    t.teardown(() => thrown.catch(() => {}))
    const rejected = t.rejects(thrown, { message: 'from the consumer' })
    await t.resolves(bus.publish('fault', 1))
    await rejected
    await t.resolves(bus.publish('fault', 2))
    t.same(payloads(await good.take(2)), [1, 2])
    t.same(await bad.next(), { value: undefined, done: true }, 'leaving the loop closed it')
  },

  'closing ends pending and later next() calls and discards queued messages': async (t, bus) => {
    const [waits, holds] = [await listen(bus, 'close'), await listen(bus, 'close.q')]
    const pending = [waits.next(), waits.next()]
    await bus.publish('close.q', 1)
    await flush(bus)
    for (const { sub } of [waits, holds]) {
      sub.close()
      sub.close()
    }
    t.same(await Promise.all([...pending, holds.next()]), Array(3).fill({ value: undefined, done: true }))
    t.equal(holds.sub.queued, 0)
    t.equal(holds.sub.dropped, 0, 'closing drops no messages')
  },

  'an aborted signal ends the iteration, before or after its start': async (t, bus) => {
    const abort = new AbortController()
    const readers = await Promise.all(
      Array.from({ length: 20 }, () => listen(bus, 'abort', { signal: abort.signal })),
    )
    const pending = readers.map((r) => r.next())
    abort.abort(new Error('enough'))
    for (const result of await Promise.all(pending)) t.equal(result.done, true)
    const late = bus.subscribe('abort', { signal: abort.signal })
    await bus.publish('abort', 1)
    for await (const _ of late) t.fail('nothing arrives on a subscription that was aborted before')
  },

  'a tap receives each covered message once, in publish order, as an envelope': async (t, bus) => {
    const seen: RawDelivery[] = []
    const release = bus.tap('tap.>', (delivery) => seen.push(delivery))
    const { take } = await listen(bus, 'tap.>')
    await bus.publish('tap.a', 1, { type: 'x' })
    await bus.publish('other', 2)
    await bus.publish('tap.b.c', { n: 3 }, { headers: { traceparent: TRACEPARENT } })
    const received = await take(2)
    t.same(
      seen.map((d) => d.topic),
      ['tap.a', 'tap.b.c'],
    )
    const envelopes = seen.map((d) => decodeEnvelope(d.envelope, CONTRACT_LIMITS.messageBytes))
    t.match(envelopes, [
      { v: 1, id: received[0]!.id, ts: received[0]!.ts, type: 'x', payload: 1 },
      { id: received[1]!.id, payload: { n: 3 }, headers: { traceparent: TRACEPARENT } },
    ])
    release()
    release()
    await bus.publish('tap.a', 4)
    await take(1)
    t.equal(seen.length, 2, 'a released tap receives no more messages')
  },

  'hasSubscribers is true for a topic with a subscriber or a tap': async (t, bus) => {
    const { sub } = await listen(bus, 'wanted.*')
    const release = bus.tap('tapped', () => {})
    t.ok(bus.hasSubscribers('wanted.x'))
    t.ok(bus.hasSubscribers('tapped'))
    sub.close()
    release()
  },
}
