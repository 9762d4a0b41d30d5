// The bus of a child keeps the contract of every bus: each scope is a separate child, at the other end of a wire that
// carries text only.
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { HostBus, RawDelivery, ScopedBus, ScopedBusOptions } from '../../src/bus/bus.ts'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'
import { CALLS_LENGTH_MAX } from '../../src/placement/child/calls.ts'
import { ChildBus } from '../../src/placement/child/bus.ts'
import { Relay } from '../../src/placement/relay.ts'
import { Link } from '../../src/placement/wire/link.ts'
import { deliveryLaws } from '../bus/contract/delivery.ts'
import { CONTRACT_LIMITS, listen, payloads } from '../bus/contract/harness.ts'
import type { Law } from '../bus/contract/harness.ts'
import { overflowLaws } from '../bus/contract/overflow.ts'
import { refusalLaws } from '../bus/contract/refusals.ts'
import { requestLaws } from '../bus/contract/requests.ts'
import { scopeLaws } from '../bus/contract/scopes.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Joined {
  readonly bus: ChildBus
  readonly relay: Relay
  /** What the supervisor's transport reports about the child; false: it lags. */
  keepsUp: boolean
  readonly supervisor: Link
}

/** A child of `embedded` in the same process, with text between them. */
function join(embedded: HostBus, owner: string, options: ScopedBusOptions = {}): Joined {
  let relay: Relay | undefined
  let bus: ChildBus | undefined
  const fail = (error: Error): never => {
    throw error
  }
  const joined = { keepsUp: true } as { -readonly [K in keyof Joined]: Joined[K] }
  const supervisor: Link = new Link(
    { write: (text) => (setImmediate(() => child.receive(text)), joined.keepsUp) },
    1e6,
    { onLine: (line) => relay?.receive(line), onBroken: fail },
  )
  const child: Link = new Link(
    { write: (text) => (setImmediate(() => supervisor.receive(text)), true) },
    1e6,
    {
      onLine: (line) => bus?.receive(line),
      onBroken: fail,
      beforeFlush: () => bus?.acknowledgeTaken(),
    },
  )
  bus = new ChildBus(child, {
    ...CONTRACT_LIMITS,
    ...(options.delivering === undefined ? {} : { delivering: options.delivering }),
  })
  relay = new Relay({
    offload: () => Promise.reject(new Error('nothing is offloaded here')),
    link: supervisor,
    now: systemClock.monotonic,
    bus: embedded.scoped(owner, options),
    reply: (replyTo, payload, inReplyTo) => embedded.publishSystem(replyTo, payload, { inReplyTo }),
    giveBack: (deliveries) => options.returned?.(deliveries),
  })
  return Object.assign(joined, { bus, relay, supervisor })
}

/** Waits long enough for lines to go both ways and for the answers to arrive. */
async function linesCross(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** A HostBus whose workers, and whose own calls, use a child's bus. */
function throughChildren(): HostBus {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const children: Joined[] = []
  const enter = (owner: string, options?: ScopedBusOptions): ChildBus => {
    const joined = join(embedded, owner, options)
    children.push(joined)
    return joined.bus
  }
  const own = enter('host')
  return {
    ...embedded,
    kind: 'embedded',
    connections: 0,
    publish: async (topic, payload, options) => {
      await own.publish(topic, payload, options)
      await linesCross()
    },
    subscribe: (pattern, options) => own.subscribe(pattern, options),
    request: (topic, payload, options) => own.request(topic, payload, options),
    enqueue: (stream, payload) => own.enqueue(stream, payload),
    stream: (stream) => own.stream(stream),
    scoped(owner, options): ScopedBus {
      embedded.scoped('probe').closeAll() // throws when the bus is closed
      return enter(owner, options)
    },
    async close() {
      for (const { bus } of children) bus.closeAll()
      await embedded.close()
      await linesCross()
      for (const { relay } of children) relay.close(true)
    },
  }
}

/** Laws about one turn of the loop, which a wire cannot keep; their asynchronous form is below. */
const SAME_TURN = new Set([
  'what a closing subscription held unread is given back, in order, claimed deliveries as the same objects',
])

function lawsOf(t: Test): void {
  for (const laws of [deliveryLaws, overflowLaws, refusalLaws, requestLaws, scopeLaws]) {
    for (const [title, law] of Object.entries(laws) as [string, Law][]) {
      if (SAME_TURN.has(title)) continue
      t.test(`child: ${title}`, async (t) => {
        const bus = throughChildren()
        t.teardown(() => bus.close())
        await law(t, bus)
      })
    }
  }
}
lawsOf(t)

t.test(
  'messages that a child leaves unread are returned in order, claimed deliveries as the same objects',
  async (t) => {
    const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
    const kept: RawDelivery[] = []
    const release = embedded.tap('job', (delivery) => kept.push(delivery))
    for (const n of [1, 2]) await embedded.publish('job', n)
    release()
    const returned: RawDelivery[] = []
    const { bus } = join(embedded, 'worker', {
      claim: () => kept,
      returned: (deliveries) => returned.unshift(...deliveries),
    })
    const { sub, take } = await listen(bus, 'job')
    await embedded.publish('job', 3)
    await linesCross()
    t.same(payloads(await take(1)), [1])
    sub.close()
    await linesCross()
    t.equal(returned[0], kept[1], 'the same object')
    t.same(
      returned.map((d) => (JSON.parse(d.envelope) as { payload: number }).payload),
      [2, 3],
    )
  },
)

t.test(
  'for a child that does not read, a bounded number of messages is kept; the policy drops the rest, counted',
  async (t) => {
    const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
    const joined = join(embedded, 'worker')
    const { sub, take } = await listen(joined.bus, 'flood', { buffer: 4 })
    joined.keepsUp = false
    for (let n = 0; n < 100; n++) await embedded.publish('flood', n)
    await linesCross()
    t.ok(joined.relay.inFlight <= 5, `${joined.relay.inFlight} in flight`)
    joined.keepsUp = true
    joined.supervisor.drained()
    await linesCross()
    t.equal(sub.queued, 4)
    t.same(payloads(await take(4)), [96, 97, 98, 99], 'the newest')
    t.equal(sub.dropped, 96, 'every loss is counted, at either end')
    t.equal(joined.bus.dropped, 96)
  },
)

t.test("'fail' while the child lags: the queued messages, then one rejection", async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const joined = join(embedded, 'worker')
  const { next } = await listen(joined.bus, 'flood', { buffer: 2, overflow: 'fail' })
  joined.keepsUp = false
  const read = async (): Promise<unknown> =>
    ((await next()).value as { payload: unknown } | undefined)?.payload
  const first = read()
  for (let n = 0; n < 6; n++) await embedded.publish('flood', n)
  await linesCross()
  joined.supervisor.drained()
  t.equal(await first, 0)
  t.equal(await read(), 1)
  await t.rejects(
    (async () => {
      for (;;) await read().then((value) => value ?? Promise.reject(new Error('ended')))
    })(),
    { code: 'BYRE_BUS_OVERFLOW' },
  )
})

t.test('unanswered calls of a child are also bounded by their length', async (t) => {
  const link = new Link({ write: () => true }, 1e9, { onLine: () => {}, onBroken: () => {} })
  const bus = new ChildBus(link, { messageBytes: 32 * 1024 * 1024, buffer: 10 })
  const longest = bus.publish('big', 'x'.repeat(CALLS_LENGTH_MAX + 1))
  await t.rejects(bus.publish('small', 1), { code: 'BYRE_BUS_OVERFLOW', details: { waiting: 1 } })
  bus.receive(['r', 1, null])
  await longest
  const many = Array.from({ length: 20 }, async () => bus.publish('half', 'x'.repeat(1024 * 1024)))
  const settled = Promise.allSettled(many)
  bus.closeAll() // sent calls have reached the supervisor
  const refused = (await settled).filter(({ status }) => status === 'rejected').length
  t.equal(refused, 5, '15 calls of just over 1 MiB fit into 16 MiB')
})

t.test('messages that a child had not acknowledged when it ended are counted as lost', async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const returned: RawDelivery[] = []
  const joined = join(embedded, 'worker', { returned: (deliveries) => returned.push(...deliveries) })
  const { take } = await listen(joined.bus, 'job')
  for (const n of [1, 2, 3]) await embedded.publish('job', n)
  await linesCross()
  await take(1)
  await linesCross()
  t.equal(joined.relay.close(false), 2)
  t.same(returned, [], 'the child may have taken them')
})

t.test('a child can reply to requests and publish to no other reserved topic', async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const { relay } = join(embedded, 'worker')
  const published: unknown[] = []
  embedded.tap('system.>', (delivery) => published.push(delivery.topic))
  relay.receive(['c', 1, 'reply', 'system.x', 1])
  relay.receive(['c', 2, 'publish', 'system.x', 1])
  await linesCross()
  t.same(published, [])
})

t.test('the reply of a child names the request that it answers', async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const published: unknown[] = []
  const publishSystem: HostBus['publishSystem'] = async (...call) => void published.push(call)
  const { bus } = join({ ...embedded, publishSystem }, 'worker')
  const subscription = bus.subscribe('ask')
  await subscription.ready
  const end = new AbortController()
  const answer = embedded.request('ask', 1, { signal: end.signal })
  const { value } = await subscription[Symbol.asyncIterator]().next()
  await value?.reply?.('yes')
  t.match(published, [[/^_inbox\./, 'yes', { inReplyTo: value?.id }]])
  end.abort()
  await t.rejects(answer)
})
