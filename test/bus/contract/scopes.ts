// The bus of a worker is closed with the worker; messages kept for a dormant worker are delivered; close closes everything.
import type { RawDelivery } from '../../../src/bus/bus.ts'
import { CONTRACT_LIMITS, flush, listen, payloads } from './harness.ts'
import type { Law } from './harness.ts'

const DONE = { value: undefined, done: true }

/** Acts like activation for a dormant worker: keeps tapped messages and returns each once, to the pattern that covers it. */
function keep(
  bus: Parameters<Law>[1],
  pattern: string,
): { claim(p: (topic: string) => boolean): RawDelivery[]; kept: RawDelivery[] } {
  const kept: RawDelivery[] = []
  const release = bus.tap(pattern, (delivery) => kept.push(delivery))
  return {
    kept,
    claim(claimed) {
      release()
      return kept.splice(0).filter((d) => claimed(d.topic))
    },
  }
}

export const scopeLaws: Record<string, Law> = {
  'closeAll closes what the worker opened, and does not affect its siblings': async (t, bus) => {
    const [worker, sibling] = [bus.scoped('worker'), bus.scoped('sibling')]
    const [a, b, other] = [await listen(worker, 'x'), await listen(worker, 'y'), await listen(sibling, 'x')]
    const waiting = a.next()
    const request = worker.request('nobody', 1)
    t.equal(worker.openSubscriptions, 2)
    worker.closeAll()
    worker.closeAll()
    t.same(await waiting, DONE)
    t.same(await b.next(), DONE)
    await t.rejects(request, { code: 'BYRE_BUS_CLOSED' })
    t.equal(worker.openSubscriptions, 0)
    t.equal(sibling.openSubscriptions, 1)
    await bus.publish('x', 1)
    t.same(payloads(await other.take(1)), [1])
  },

  'the bus of an ended worker refuses every call': async (t, bus) => {
    const worker = bus.scoped('worker')
    worker.closeAll()
    const code = 'BYRE_BUS_CLOSED'
    await t.rejects(worker.publish('x', 1), { code })
    await t.rejects(worker.request('x', 1), { code })
    t.throws(() => worker.subscribe('x'), { code })
    await t.resolves(bus.publish('x', 1))
    await t.resolves(bus.scoped('worker').publish('x', 1), 'its next run has a new scope')
  },

  'leaving the loop closes the subscription': async (t, bus) => {
    const worker = bus.scoped('worker')
    const { sub } = await listen(worker, 'x')
    await bus.publish('x', 1)
    await bus.publish('x', 2)
    for await (const _ of sub) break
    t.equal(worker.openSubscriptions, 0)
    for await (const _ of sub) t.fail('it is closed')
  },

  'messages kept for a dormant worker come first, in order, before newer messages': async (t, bus) => {
    const keeper = keep(bus, 'job.>')
    await (await listen(bus, 'job.>')).sub.ready
    for (const n of [1, 2, 3]) await bus.publish(`job.${n}`, n, { type: 't' })
    await flush(bus)
    const worker = bus.scoped('worker', { claim: (pattern) => keeper.claim(pattern) })
    const { sub, take } = await listen(worker, 'job.*')
    for (const n of [4, 5]) await bus.publish(`job.${n}`, n)
    const received = await take(5)
    t.same(payloads(received), [1, 2, 3, 4, 5])
    t.match(received[0], { topic: 'job.1', type: 't' })
    t.equal(new Set(received.map((m) => m.id)).size, 5)
    t.equal(sub.dropped, 0)
  },

  'kept messages enlarge the buffer and take no room from newer messages': async (t, bus) => {
    const keeper = keep(bus, 'job')
    for (let n = 1; n <= 6; n++) await bus.publish('job', n)
    await flush(bus)
    const worker = bus.scoped('worker', { claim: (pattern) => keeper.claim(pattern) })
    const { sub, take } = await listen(worker, 'job', { buffer: 2 })
    for (const n of [7, 8]) await bus.publish('job', n)
    await flush(bus)
    t.equal(sub.queued, 8)
    t.equal(sub.dropped, 0)
    await bus.publish('job', 9)
    await flush(bus)
    t.equal(sub.dropped, 1, 'one more overflows')
    t.same(payloads(await take(8)), [2, 3, 4, 5, 6, 7, 8, 9])
    for (const n of [10, 11, 12]) await bus.publish('job', n)
    await flush(bus)
    t.same(payloads(await take(2)), [11, 12], 'then the original limit applies')
  },

  'a request kept for a dormant worker can be replied to': async (t, bus) => {
    const keeper = keep(bus, 'ask')
    const request = bus.request('ask', 'anyone?')
    await flush(bus)
    const worker = bus.scoped('worker', { claim: (pattern) => keeper.claim(pattern) })
    const { take } = await listen(worker, 'ask')
    const [message] = await take(1)
    await message!.reply!('awake')
    t.equal(await request, 'awake')
  },

  'kept deliveries that crossed a process boundary as text are parsed again': async (t, bus) => {
    const keeper = keep(bus, 'ask')
    const request = bus.request('ask', { n: [1] }, { type: 'q' })
    await flush(bus)
    const texts = JSON.stringify(
      keeper.claim((topic) => topic === 'ask').map(({ topic, envelope }) => ({ topic, envelope })),
    )
    const worker = bus.scoped('worker', { claim: () => JSON.parse(texts) as RawDelivery[] })
    const { take } = await listen(worker, 'ask')
    const [message] = await take(1)
    t.match(message, { topic: 'ask', type: 'q', payload: { n: [1] } })
    await message!.reply!('read')
    t.equal(await request, 'read')
  },

  'what a closing subscription held unread is given back, in order, claimed deliveries as the same objects':
    async (t, bus) => {
      const keeper = keep(bus, 'job')
      for (const n of [1, 2]) await bus.publish('job', n)
      await flush(bus)
      const kept = [...keeper.kept]
      const returned: RawDelivery[] = []
      const worker = bus.scoped('worker', {
        claim: (covers) => keeper.claim(covers),
        returned: (deliveries) => returned.push(...deliveries),
      })
      const { sub, take } = await listen(worker, 'job')
      await bus.publish('job', 3)
      await flush(bus)
      t.same(payloads(await take(1)), [1])
      sub.close()
      t.equal(returned[0], kept[1], 'the same object')
      t.same(
        returned.map((d) => (JSON.parse(d.envelope) as { payload: number }).payload),
        [2, 3],
      )
    },

  'a message handed to a consumer that closes is returned too': async (t, bus) => {
    const returned: RawDelivery[] = []
    const worker = bus.scoped('worker', { returned: (deliveries) => returned.push(...deliveries) })
    const sub = worker.subscribe('job')
    await sub.ready
    const waiting = sub[Symbol.asyncIterator]().next()
    // taps are called after subscriptions: the message was handed over, and its consumer has not run yet
    bus.tap('job', () => sub.close())
    await bus.publish('job', 1)
    const result = await waiting
    await flush(bus)
    t.equal(
      returned.length + (result.done === true ? 0 : 1),
      1,
      'delivered or returned, never both, never neither',
    )
  },

  'closeSubscriptions ends only the iterations': async (t, bus) => {
    const worker = bus.scoped('worker')
    const { sub } = await listen(worker, 'x')
    t.ok(worker.covers('x'))
    worker.closeSubscriptions()
    t.notOk(worker.covers('x'))
    t.same(await sub[Symbol.asyncIterator]().next(), DONE)
    const { take } = await listen(bus, 'last.words')
    await worker.publish('last.words', 1)
    t.same(payloads(await take(1)), [1])
  },

  'delivering is called before each message reaches the owner': async (t, bus) => {
    let calls = 0
    const worker = bus.scoped('worker', { delivering: () => calls++ })
    const { take } = await listen(worker, 'x')
    for (const n of [1, 2, 3]) await bus.publish('x', n)
    await take(3)
    t.equal(calls, 3)
  },

  'an aborted signal claims nothing': async (t, bus) => {
    const worker = bus.scoped('worker', { claim: () => t.fail('claimed') as never })
    const sub = worker.subscribe('x', { signal: AbortSignal.abort() })
    for await (const _ of sub) t.fail('it is closed')
    t.equal(worker.openSubscriptions, 0)
  },

  'closing the bus closes everything on it': async (t, bus) => {
    const worker = bus.scoped('worker')
    const [mine, its] = [await listen(bus, 'x'), await listen(worker, 'x')]
    const waiting = [mine.next(), its.next()]
    const requests = [bus.request('nobody', 1), worker.request('nobody', 1)]
    const code = 'BYRE_BUS_CLOSED'
    const refused = requests.map((r) => t.rejects(r, { code }))
    await bus.close()
    await bus.close()
    await Promise.all(refused)
    t.same(await Promise.all(waiting), [DONE, DONE])
    await t.rejects(bus.publish('x', 1), { code })
    await t.rejects(bus.publishSystem('system.x', 1), { code })
    await t.rejects(worker.publish('x', 1), { code })
    t.throws(() => bus.subscribe('x'), { code })
    t.throws(() => bus.tap('x', () => {}), { code })
    t.throws(() => bus.scoped('other'), { code })
  },

  'the limits are those of the contract': async (t, bus) => {
    await t.resolves(bus.publish('x', 'x'.repeat(CONTRACT_LIMITS.messageBytes - 2)))
    await t.rejects(bus.publish('x', 'x'.repeat(CONTRACT_LIMITS.messageBytes)))
  },
}
