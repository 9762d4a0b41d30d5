// What the contract cannot see from outside: how a bus drives a subscription, and what it hears back.
import { AsyncLocalStorage } from 'node:async_hooks'
import t from 'tap'
import type { Gap, Message } from '../../src/bus/bus.ts'
import { resolveSubscribeOptions } from '../../src/bus/options.ts'
import { BufferedSubscription } from '../../src/bus/subscription.ts'
import type { SubscriptionOwner } from '../../src/bus/subscription.ts'

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
  }
  const sub = new BufferedSubscription('x', resolveSubscribeOptions('x', options, 10), owner, ready)
  return { sub, calls }
}

t.test('an item is opened when it is taken, not when it is pushed', async (t) => {
  const { sub, calls } = make()
  sub.push({ n: 1 })
  const waiting = [sub.next(), sub.next()]
  t.same(calls, ['open 1'])
  sub.push({ n: 2 })
  t.same(calls, ['open 1'], 'a consumer that waits opens it on its own time')
  await Promise.all(waiting)
  t.same(calls, ['open 1', 'open 2'])
})

t.test('the owner hears of each loss and once of the end', async (t) => {
  const { sub, calls } = make({ buffer: 1, overflow: 'fail' })
  for (const n of [1, 2, 3]) sub.push({ n })
  t.same(calls, ['lost 2'], 'what comes after the failure is not even counted')
  await sub.next()
  await t.rejects(sub.next(), {
    code: 'BYRE_BUS_OVERFLOW',
    message: /policy is 'fail'.*while 1 were waiting/,
  })
  await sub.return()
  sub.close()
  t.same(calls, ['lost 2', 'open 1', 'ended'])
})

t.test('one that is aborted from the start never was open', async (t) => {
  const { sub, calls } = make({ signal: AbortSignal.abort() })
  t.ok(sub.closed)
  sub.push({ n: 1 })
  t.same(await sub.next(), { value: undefined, done: true })
  t.same(calls, [])
})

t.test('closing in the same turn as a hand-over wins', async (t) => {
  const { sub, calls } = make()
  const waiting = sub.next()
  sub.push({ n: 1 })
  sub.close()
  t.same(await waiting, { value: undefined, done: true })
  t.same(calls, ['ended'])
})

t.test('ready is what the bus says', async (t) => {
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
    const told: unknown[] = []
    sub.reportGap(gap)
    const all = new Promise<void>((resolve) => {
      context.run('a', () => sub.onGap((g) => told.push([context.getStore(), g])))
      const release = context.run('b', () => sub.onGap(() => t.fail('released')))
      release()
      context.run('c', () => sub.onGap(() => (told.push(context.getStore()), resolve())))
    })
    context.run('bus', () => sub.reportGap(gap))
    t.same(told, [], 'not inside the bus’s call')
    await all
    t.same(told, [['a', gap], 'c'])
    sub.close()
    sub.reportGap(gap)
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(told.length, 2)
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
