import t from 'tap'
import { createResourcePool } from '../../src/worker/resources.ts'

const asNobody = <R>(fn: () => R): R => fn()

t.test('one value for all, disposed after the last release', async (t) => {
  const disposed: number[] = []
  let created = 0
  const pool = createResourcePool(asNobody, () => t.fail('no error'))
  const resource = { key: 'db', create: async () => ++created, dispose: (n: number) => void disposed.push(n) }
  const [a, b] = [pool.acquire(resource), pool.acquire(resource)]
  t.equal(await a.value, 1)
  t.equal(await b.value, 1)
  a.release()
  a.release()
  t.same(disposed, [], 'a second release of one lease does not count')
  b.release()
  await Promise.resolve()
  await Promise.resolve()
  t.same(disposed, [1])
  t.equal(await pool.acquire(resource).value, 2, 'a later use creates anew')
})

t.test('a failed create is told to those who waited and tried again by the next', async (t) => {
  let tries = 0
  const errors: string[] = []
  const pool = createResourcePool(asNobody, (key) => errors.push(key))
  const resource = {
    key: 'db',
    create: async () => {
      if (++tries === 1) throw new Error('down')
      return tries
    },
  }
  const first = pool.acquire(resource)
  await t.rejects(first.value, { message: 'down' })
  first.release()
  t.equal(await pool.acquire(resource).value, 2)
  t.same(errors, [], 'nothing was there to dispose')
})

t.test('a dispose that throws is reported with the key', async (t) => {
  const reported = new Promise((resolve) => {
    const pool = createResourcePool(asNobody, (key, error) => resolve([key, (error as Error).message]))
    const lease = pool.acquire({
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
