// The bus as a guest sees it keeps the contract of every bus: each scope is a guest of its own, behind a wire that
// carries text and nothing else.
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
  /** What the host's transport says about the guest: false, and it lags. */
  keepsUp: boolean
  readonly host: Link
}

/** A guest of `embedded` in the same process, text between them. */
function join(embedded: HostBus, owner: string, options: ScopedBusOptions = {}): Joined {
  let relay: Relay | undefined
  let bus: ChildBus | undefined
  const fail = (error: Error): never => {
    throw error
  }
  const joined = { keepsUp: true } as { -readonly [K in keyof Joined]: Joined[K] }
  const host: Link = new Link(
    { write: (text) => (setImmediate(() => guest.receive(text)), joined.keepsUp) },
    1e6,
    { onLine: (line) => relay?.heard(line), onBroken: fail },
  )
  const guest: Link = new Link({ write: (text) => (setImmediate(() => host.receive(text)), true) }, 1e6, {
    onLine: (line) => bus?.heard(line),
    onBroken: fail,
    beforeFlush: () => bus?.tellTaken(),
  })
  bus = new ChildBus(guest, {
    ...CONTRACT_LIMITS,
    ...(options.delivering === undefined ? {} : { delivering: options.delivering }),
  })
  relay = new Relay({
    offload: () => Promise.reject(new Error('nothing is offloaded here')),
    link: host,
    now: systemClock.monotonic,
    bus: embedded.scoped(owner, options),
    answer: (replyTo, payload, inReplyTo) => embedded.publishSystem(replyTo, payload, { inReplyTo }),
    giveBack: (deliveries) => options.returned?.(deliveries),
  })
  return Object.assign(joined, { bus, relay, host })
}

/** Long enough for lines to go both ways and for what they cause to come back. */
async function settle(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** A HostBus whose workers, and whose own calls, live in guests. */
function throughGuests(): HostBus {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const guests: Joined[] = []
  const enter = (owner: string, options?: ScopedBusOptions): ChildBus => {
    const joined = join(embedded, owner, options)
    guests.push(joined)
    return joined.bus
  }
  const own = enter('host')
  return {
    ...embedded,
    kind: 'embedded',
    connections: 0,
    publish: async (topic, payload, options) => {
      await own.publish(topic, payload, options)
      await settle()
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
      for (const { bus } of guests) bus.closeAll()
      await embedded.close()
      await settle()
      for (const { relay } of guests) relay.close(true)
    },
  }
}

/** Laws about the same turn of the loop, which a wire cannot keep; their asynchronous form is below. */
const SAME_TURN = new Set([
  'what a closing subscription held unread is given back, in order, claimed deliveries as the same objects',
])

function lawsOf(t: Test): void {
  for (const laws of [deliveryLaws, overflowLaws, refusalLaws, requestLaws, scopeLaws]) {
    for (const [title, law] of Object.entries(laws) as [string, Law][]) {
      if (SAME_TURN.has(title)) continue
      t.test(`guest: ${title}`, async (t) => {
        const bus = throughGuests()
        t.teardown(() => bus.close())
        await law(t, bus)
      })
    }
  }
}
lawsOf(t)

t.test(
  'what a guest leaves unread comes back in order, claimed deliveries as the same objects',
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
    await settle()
    t.same(payloads(await take(1)), [1])
    sub.close()
    await settle()
    t.equal(returned[0], kept[1], 'the same object')
    t.same(
      returned.map((d) => (JSON.parse(d.envelope) as { payload: number }).payload),
      [2, 3],
    )
  },
)

t.test(
  'a guest that does not read costs a bounded number of messages, dropped by the policy and counted',
  async (t) => {
    const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
    const joined = join(embedded, 'worker')
    const { sub, take } = await listen(joined.bus, 'flood', { buffer: 4 })
    joined.keepsUp = false
    for (let n = 0; n < 100; n++) await embedded.publish('flood', n)
    await settle()
    t.ok(joined.relay.inHand <= 5, `${joined.relay.inHand} on their way`)
    joined.keepsUp = true
    joined.host.drained()
    await settle()
    t.equal(sub.queued, 4)
    t.same(payloads(await take(4)), [96, 97, 98, 99], 'the newest')
    t.equal(sub.dropped, 96, 'every loss is counted, on whichever side')
    t.equal(joined.bus.dropped, 96)
  },
)

t.test('fail while the guest lags: what was queued, then one rejection', async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const joined = join(embedded, 'worker')
  const { next } = await listen(joined.bus, 'flood', { buffer: 2, overflow: 'fail' })
  joined.keepsUp = false
  const read = async (): Promise<unknown> =>
    ((await next()).value as { payload: unknown } | undefined)?.payload
  const first = read()
  for (let n = 0; n < 6; n++) await embedded.publish('flood', n)
  await settle()
  joined.host.drained()
  t.equal(await first, 0)
  t.equal(await read(), 1)
  await t.rejects(
    (async () => {
      for (;;) await read().then((value) => value ?? Promise.reject(new Error('ended')))
    })(),
    { code: 'BYRE_BUS_OVERFLOW' },
  )
})

t.test('what a guest sends without waiting is bounded by its length as well', async (t) => {
  const link = new Link({ write: () => true }, 1e9, { onLine: () => {}, onBroken: () => {} })
  const bus = new ChildBus(link, { messageBytes: 32 * 1024 * 1024, buffer: 10 })
  const longest = bus.publish('big', 'x'.repeat(CALLS_LENGTH_MAX + 1))
  await t.rejects(bus.publish('small', 1), { code: 'BYRE_BUS_OVERFLOW', details: { waiting: 1 } })
  bus.heard(['r', 1, null])
  await longest
  const many = Array.from({ length: 20 }, async () => bus.publish('half', 'x'.repeat(1024 * 1024)))
  const settled = Promise.allSettled(many)
  bus.closeAll() // what was sent is with the host
  const refused = (await settled).filter(({ status }) => status === 'rejected').length
  t.equal(refused, 5, '15 of a mebibyte and some characters fit into 16')
})

t.test('messages in the hand of a guest that is gone are counted', async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const returned: RawDelivery[] = []
  const joined = join(embedded, 'worker', { returned: (deliveries) => returned.push(...deliveries) })
  const { take } = await listen(joined.bus, 'job')
  for (const n of [1, 2, 3]) await embedded.publish('job', n)
  await settle()
  await take(1)
  await settle()
  t.equal(joined.relay.close(false), 2)
  t.same(returned, [], 'it may have taken them')
})

t.test('a guest answers requests and publishes nothing else of byre', async (t) => {
  const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
  const { relay } = join(embedded, 'worker')
  const heard: unknown[] = []
  embedded.tap('system.>', (delivery) => heard.push(delivery.topic))
  relay.heard(['c', 1, 'reply', 'system.x', 1])
  relay.heard(['c', 2, 'publish', 'system.x', 1])
  await settle()
  t.same(heard, [])
})

t.test('the reply of a guest says which request it answers', async (t) => {
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
