// BufferedSubscription: how a bus drives it, and what it calls back, which the contract cannot observe.
import { AsyncLocalStorage } from 'node:async_hooks'
import fc from 'fast-check'
import t from 'tap'
import type { Gap, Message } from '../../src/bus/bus.ts'
import { resolveSubscribeOptions } from '../../src/bus/options.ts'
import { BufferedSubscription } from '../../src/bus/subscription.ts'
import type { SubscriptionOwner } from '../../src/bus/subscription.ts'
import { SLICE_MS } from '../../src/bus/turn.ts'

interface Item {
  readonly n: number
}

function make(
  options: Parameters<typeof resolveSubscribeOptions>[1] = {},
  ready: Promise<void> = Promise.resolve(),
) {
  const calls: string[] = []
  const owner: SubscriptionOwner<Item> = {
    open: ({ n }): Message => {
      calls.push(`open ${n}`)
      return { id: String(n), topic: 'x', ts: 0, payload: n }
    },
    overflowed: (_, lost) => calls.push(`lost ${lost.n}`),
    ended: () => calls.push('ended'),
    unread: (items) => calls.push(`unread ${items.map((i) => i.n).join()}`),
    handing: () => calls.push('handing'),
  }
  const sub = new BufferedSubscription('x', resolveSubscribeOptions('x', options, 10), owner, ready)
  return { sub, calls }
}

t.test('an item is opened right before its consumer continues, not when it is pushed', async (t) => {
  const { sub, calls } = make()
  sub.push({ n: 1 })
  const waiting = [sub.next(), sub.next()]
  sub.push({ n: 2 })
  t.same(calls, [])
  await Promise.all(waiting)
  t.same(calls, ['handing', 'open 1', 'handing', 'open 2'])
})

t.test('the owner is called for each dropped item and once at the end', async (t) => {
  const { sub, calls } = make({ buffer: 1, overflow: 'fail' })
  for (const n of [1, 2, 3]) sub.push({ n })
  t.same(calls, ['lost 2'], 'items after the failure are not counted')
  await sub.next()
  await t.rejects(sub.next(), {
    code: 'BYRE_BUS_OVERFLOW',
    message: /policy is 'fail'.*while the buffer of 1 messages was full/,
  })
  await sub.return()
  sub.close()
  t.same(calls, ['lost 2', 'handing', 'open 1', 'ended'])
})

t.test(
  'calls made together get what was queued before the failure, then the failure, then the end',
  async (t) => {
    const { sub } = make({ buffer: 2, overflow: 'fail' })
    for (const n of [1, 2, 3]) sub.push({ n })
    const [one, two, three, four] = await Promise.allSettled([sub.next(), sub.next(), sub.next(), sub.next()])
    t.match([one, two], [{ value: { value: { payload: 1 } } }, { value: { value: { payload: 2 } } }])
    t.match(three, { status: 'rejected', reason: { code: 'BYRE_BUS_OVERFLOW' } })
    t.match(four, { status: 'fulfilled', value: { done: true } })
  },
)

t.test('kept items are accepted beyond the buffer, in order, and none is dropped', async (t) => {
  const { sub, calls } = make({ buffer: 1 })
  for (const n of [1, 2, 3]) sub.pushKept({ n })
  t.same([sub.queued, sub.dropped], [3, 0])
  const taken = await Promise.all([sub.next(), sub.next(), sub.next()])
  t.same(
    taken.map((r) => r.value?.payload),
    [1, 2, 3],
  )
  t.notOk(calls.some((call) => call.startsWith('lost')))
  sub.close()
  sub.pushKept({ n: 4 })
  t.equal(sub.queued, 0, 'none once it has ended')
})

t.test('a loss upstream is counted, and with fail it ends the subscription like an overflow', async (t) => {
  const oldest = make({ buffer: 2 })
  oldest.sub.lostUpstream(3)
  t.same([oldest.sub.dropped, oldest.sub.accepting], [3, true], 'the other policies continue')

  const { sub, calls } = make({ buffer: 2, overflow: 'fail' })
  sub.push({ n: 1 })
  sub.lostUpstream(2)
  t.same([sub.dropped, sub.accepting], [2, false])
  sub.push({ n: 2 })
  t.match(await sub.next(), { value: { payload: 1 } }, 'queued items come first')
  await t.rejects(sub.next(), { code: 'BYRE_BUS_OVERFLOW', details: { dropped: 2 } })
  t.same(await sub.next(), { value: undefined, done: true })
  t.same(calls, ['handing', 'open 1', 'ended'])

  const idle = make({ buffer: 2, overflow: 'fail' })
  const waiting = [idle.sub.next(), idle.sub.next()]
  idle.sub.lostUpstream(1)
  await t.rejects(waiting[0]!, { code: 'BYRE_BUS_OVERFLOW' }, 'a call that waits rejects at once')
  t.same(await waiting[1], { value: undefined, done: true })
  t.ok(idle.sub.closed)
})

t.test('a subscription with an aborted signal starts closed', async (t) => {
  const { sub, calls } = make({ signal: AbortSignal.abort() })
  t.ok(sub.closed)
  sub.push({ n: 1 })
  t.same(await sub.next(), { value: undefined, done: true })
  t.same(calls, [])
})

t.test(
  'closing in the same turn as a hand-over wins, and gives everything unread back in order',
  async (t) => {
    const { sub, calls } = make()
    const waiting = [sub.next(), sub.next()]
    for (const n of [1, 2, 3, 4]) sub.push({ n })
    sub.close()
    const late = sub.next()
    for (const result of await Promise.all([...waiting, late]))
      t.same(result, { value: undefined, done: true })
    t.same(calls, ['ended', 'unread 1,2,3,4'])
  },
)

t.test('closing between two handovers returns only items that were not opened', async (t) => {
  const { sub, calls } = make()
  const waiting = [sub.next(), sub.next(), sub.next()]
  const first = waiting[0]!.then(() => sub.close())
  for (const n of [1, 2]) sub.push({ n })
  await first
  const values = (await Promise.all(waiting)).map((r) => (r.done === true ? 'done' : r.value.payload))
  const unread = calls.filter((c) => c.startsWith('unread'))
  t.same([values, unread], [[1, 'done', 'done'], ['unread 2']])
})

t.test('with many consumers each handover is followed by code of the same consumer', async (t) => {
  const log: string[] = []
  const consumers = ['a', 'b', 'c'].map((name) => {
    const sub = new BufferedSubscription<Item>(
      'x',
      resolveSubscribeOptions('x', {}, 10),
      {
        open: ({ n }): Message => ({ id: String(n), topic: 'x', ts: 0, payload: n }),
        overflowed: () => {},
        ended: () => {},
        unread: () => {},
        handing: () => log.push(`handing ${name}`),
      },
      Promise.resolve(),
    )
    const done = (async () => {
      for await (const message of sub) {
        log.push(`${name} runs ${String(message.payload as number)}`)
        if (message.payload === 2) return
      }
    })()
    return { sub, done }
  })
  for (const n of [1, 2]) for (const { sub } of consumers) sub.push({ n })
  log.push('publisher continues')
  await Promise.all(consumers.map((c) => c.done))
  t.equal(log[0], 'publisher continues')
  t.equal(log.length, 13)
  for (let i = 1; i < log.length; i += 2) t.equal(log[i]!.at(-1), log[i + 1]![0], `${log[i]}, ${log[i + 1]}`)
})

t.test('under any pushes, takes and closes no item is lost, duplicated or reordered', async () => {
  const step = fc.constantFrom('push', 'push', 'next', 'turn')
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (plan) => {
      const { sub, calls } = make({ buffer: 100 })
      const taken: Promise<IteratorResult<Message, undefined>>[] = []
      let pushed = 0
      for (const what of plan) {
        if (what === 'push') sub.push({ n: pushed++ })
        else if (what === 'next') taken.push(sub.next())
        else await Promise.resolve()
      }
      sub.close()
      const values = (await Promise.all(taken))
        .filter((r) => r.done !== true)
        .map((r) => r.value!.payload as number)
      const unread = calls.find((c) => c.startsWith('unread '))
      const back = unread === undefined ? [] : unread.slice(7).split(',').map(Number)
      return [...values, ...back].join() === Array.from({ length: pushed }, (_, n) => n).join()
    }),
    // regression: of two concurrent calls the second received a newer message than the one handed to the first
    { numRuns: 1000, examples: [[['next', 'push', 'push', 'next']]] },
  )
})

t.test('ready is the promise of the bus', async (t) => {
  const never = Promise.reject(new Error('refused upstream'))
  await t.rejects(make({}, never).sub.ready, { message: 'refused upstream' })
  await t.resolves(make().sub.ready)
})

t.test(
  'a gap reaches every listener in its own async context, until it is released or the end',
  async (t) => {
    const { sub } = make()
    const context = new AsyncLocalStorage<string>()
    const gap: Gap = { from: 1, until: 2, reason: 'connection lost' }
    const received: unknown[] = []
    sub.reportGap(gap)
    const all = new Promise<void>((resolve) => {
      context.run('a', () => sub.onGap((g) => received.push([context.getStore(), g])))
      const release = context.run('b', () => sub.onGap(() => t.fail('released')))
      release()
      context.run('c', () => sub.onGap(() => (received.push(context.getStore()), resolve())))
    })
    context.run('bus', () => sub.reportGap(gap))
    t.same(received, [], 'not inside the call of the bus')
    await all
    t.same(received, [['a', gap], 'c'])
    sub.close()
    sub.reportGap(gap)
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(received.length, 2)
  },
)

t.test(
  'a listener of gaps that throws is an unhandled rejection in its own context, not a throw in the bus',
  async (t) => {
    const { sub } = make()
    const context = new AsyncLocalStorage<string>()
    const listeners = process.listeners('unhandledRejection')
    process.removeAllListeners('unhandledRejection')
    t.teardown(() => {
      for (const listener of listeners) process.on('unhandledRejection', listener)
    })
    const stray = new Promise<unknown>((resolve) =>
      process.once('unhandledRejection', (reason) =>
        resolve([context.getStore(), (reason as Error).message]),
      ),
    )
    context.run('worker', () =>
      sub.onGap(() => {
        throw new Error('from the listener')
      }),
    )
    sub.reportGap({ from: 1, until: 2, reason: 'x' })
    t.same(await stray, ['worker', 'from the listener'])
  },
)

/** Blocks the loop for longer than a slice. */
function useUpTheSlice(): void {
  for (const end = performance.now() + 2 * SLICE_MS; performance.now() < end; );
}

t.test('once the slice of a turn is used up, the next item comes in the next turn, in order', async (t) => {
  const { sub } = make()
  for (const n of [1, 2, 3, 4]) sub.push({ n })
  await new Promise((resolve) => setImmediate(resolve)) // a separate turn
  const order: unknown[] = []
  await sub.next()
  setTimeout(() => order.push('timer'), 0)
  useUpTheSlice() // and the timer is due
  const calls = [sub.next(), sub.next()].map(async (call) => order.push((await call).value?.payload))
  await Promise.all(calls)
  t.same(order, ['timer', 2, 3])
  useUpTheSlice()
  const last = [sub.next(), sub.next()]
  sub.push({ n: 5 })
  t.match(await Promise.all(last), [{ value: { payload: 4 } }, { value: { payload: 5 } }])
})

t.test('items held for the next turn are returned when the subscription closes', async (t) => {
  const { sub, calls } = make()
  for (const n of [1, 2, 3]) sub.push({ n })
  await sub.next()
  useUpTheSlice()
  const held = sub.next()
  sub.close()
  t.match(await held, { done: true })
  t.same(calls, ['handing', 'open 1', 'ended', 'unread 2,3'])
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(calls.length, 4, 'the next turn opens nothing')
})

t.test('a loss upstream that follows an item held for the next turn waits for it', async (t) => {
  const { sub, calls } = make({ buffer: 2, overflow: 'fail' })
  sub.push({ n: 0 })
  await sub.next()
  const waiting = [sub.next(), sub.next(), sub.next()]
  useUpTheSlice()
  sub.push({ n: 1 })
  sub.lostUpstream(1)
  const [one, failed, done] = await Promise.allSettled(waiting)
  t.match(one, { value: { value: { payload: 1 } } })
  t.match(failed, { status: 'rejected', reason: { code: 'BYRE_BUS_OVERFLOW' } })
  t.match(done, { status: 'fulfilled', value: { done: true } })
  t.notOk(calls.some((call) => call.startsWith('unread')))
})

t.test('a failure that follows an item held for the next turn waits for it', async (t) => {
  const { sub } = make({ buffer: 2, overflow: 'fail' })
  for (const n of [1, 2, 3]) sub.push({ n })
  await sub.next()
  useUpTheSlice()
  const [two, failed] = await Promise.allSettled([sub.next(), sub.next()])
  t.match(two, { value: { value: { payload: 2 } } })
  t.match(failed, { status: 'rejected', reason: { code: 'BYRE_BUS_OVERFLOW' } })
})
