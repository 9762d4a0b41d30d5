import t from 'tap'
import { deferred } from '../../src/base/deferred.ts'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { createResourcePool } from '../../src/worker/resources.ts'
import { fakeClock } from '../helpers/fake-clock.ts'

const pool = (onDisposeError: (key: string, error: unknown) => void, clock: Clock = systemClock) =>
  createResourcePool({ runDetached: (fn) => fn(), clock, onDisposeError })

t.test('all users get one value, which is disposed after the last release', async (t) => {
  const disposed: number[] = []
  let created = 0
  const resources = pool(() => t.fail('no error'))
  const resource = { key: 'db', create: async () => ++created, dispose: (n: number) => void disposed.push(n) }
  const [a, b] = [resources.acquire(resource), resources.acquire(resource)]
  t.equal(await a.value, 1)
  t.equal(await b.value, 1)
  a.release()
  a.release()
  t.same(disposed, [], 'a second release of one lease does not count')
  b.release()
  await resources.whenIdle()
  t.same(disposed, [1])
  t.equal(await resources.acquire(resource).value, 2, 'a later use creates a new value')
})

t.test('a failed create rejects its waiting users, and the next use tries again', async (t) => {
  let tries = 0
  const errors: string[] = []
  const resources = pool((key) => errors.push(key))
  const resource = {
    key: 'db',
    create: async () => {
      if (++tries === 1) throw new Error('down')
      return tries
    },
  }
  const first = resources.acquire(resource)
  await t.rejects(first.value, { message: 'down' })
  first.release()
  t.equal(await resources.acquire(resource).value, 2)
  t.same(errors, [], 'there was nothing to dispose')
})

t.test('a dispose that throws is reported with the key', async (t) => {
  const reported = new Promise((resolve) => {
    const resources = pool((key, error) => resolve([key, (error as Error).message]))
    const lease = resources.acquire({
      key: 'x',
      create: () => 1,
      dispose: () => {
        throw new Error('no')
      },
    })
    void lease.value.then(lease.release)
  })
  t.same(await reported, ['x', 'no'])
})

t.test(
  'a use after the last release waits for the dispose, so that two values never exist at once',
  async (t) => {
    const resources = pool(() => t.fail('no error'))
    const order: string[] = []
    let finish: () => void = () => {}
    const resource = {
      key: 'db',
      create: () => void order.push('create'),
      dispose: async () => {
        order.push('dispose')
        await new Promise<void>((resolve) => (finish = resolve))
        order.push('disposed')
      },
    }
    const first = resources.acquire(resource)
    await first.value
    first.release()
    const second = resources.acquire(resource)
    while (order.length < 2) await Promise.resolve()
    finish()
    await second.value
    t.same(order, ['create', 'dispose', 'disposed', 'create'])
  },
)

t.test('a dispose that never ends is reported after 5 s and no longer delays the next create', async (t) => {
  const clock = fakeClock()
  const reported: string[] = []
  const resources = pool((key) => reported.push(key), clock)
  const resource = { key: 'db', create: () => 1, dispose: async () => new Promise<void>(() => {}) }
  const first = resources.acquire(resource)
  await first.value
  first.release()
  while (clock.armed === 0) await Promise.resolve()
  clock.advance(5000)
  t.equal(await resources.acquire(resource).value, 1)
  t.same(reported, ['db'])
})

t.test(
  'a create that never ends does not delay the next one after the last release; a late value is disposed',
  async (t) => {
    const clock = fakeClock()
    const reported: string[] = []
    const disposed: unknown[] = []
    const resources = pool((key, error) => reported.push(`${key}: ${(error as Error).message}`), clock)
    const first = deferred<string>()
    const resource = {
      key: 'db',
      create: () => first.promise,
      dispose: (value: string) => void disposed.push(value),
    }
    const hanging = resources.acquire(resource)
    await Promise.resolve() // it has begun
    hanging.release()
    const second = resources.acquire({ ...resource, create: () => 'the second' })
    while (clock.armed === 0) await Promise.resolve()
    clock.advance(5000)
    t.equal(await second.value, 'the second')
    t.same(reported, ['db: create has not ended after 5000 ms'])
    first.resolve('the first')
    await new Promise((resolve) => setImmediate(resolve))
    t.same(disposed, ['the first'])
  },
)

t.test(
  'a resource that is released while it waits for a dispose is not created, and no failure is reported',
  async (t) => {
    const clock = fakeClock()
    const reported: string[] = []
    const order: string[] = []
    const resources = pool((key, error) => reported.push(`${key}: ${(error as Error).message}`), clock)
    const resource = (name: string) => ({
      key: 'db',
      create: async () => {
        order.push(`create ${name}`)
        if (name === 'second') await new Promise<void>(() => {})
        return name
      },
      dispose: async () => {
        order.push(`dispose ${name}`)
        await new Promise<void>(() => {})
      },
    })
    const first = resources.acquire(resource('first'))
    await first.value
    first.release()
    while (order.length < 2) await Promise.resolve()
    clock.advance(4000)
    const second = resources.acquire(resource('second'))
    second.release()
    const third = resources.acquire(resource('third'))
    const refused = t.rejects(second.value, { code: 'BYRE_WORKER_STOPPED', message: /'db'.*released/ })
    clock.advance(1000)
    t.equal(await third.value, 'third')
    await refused
    clock.advance(5000)
    t.same(order, ['create first', 'dispose first', 'create third'])
    t.same(reported, ['db: dispose has not ended after 5000 ms'])
    await resources.whenIdle()
  },
)
