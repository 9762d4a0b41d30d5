import fc from 'fast-check'
import t from 'tap'
import type { OverflowPolicy } from '../../src/bus/bus.ts'
import { BoundedQueue } from '../../src/bus/queue.ts'
import { cpuClock } from '../helpers/cpu.ts'

interface Item {
  readonly n: number
}

const POLICIES: OverflowPolicy[] = ['drop-oldest', 'drop-newest', 'fail']

/** A model of the queue as an array: the expected result of each operation. */
class Model {
  items: Item[] = []
  extra = 0
  readonly limit: number
  constructor(limit: number) {
    this.limit = limit
  }
  offer(item: Item, policy: OverflowPolicy): Item | undefined {
    if (this.items.length < this.limit + this.extra) return void this.items.push(item)
    if (policy !== 'drop-oldest') return item
    this.items.push(item)
    return this.items.shift()
  }
  shift(): Item | undefined {
    const item = this.items.shift()
    if (this.items.length <= this.limit) this.extra = 0
    return item
  }
}

t.test('any sequence of operations gives the same results as the model', async () => {
  const steps = fc.array(
    fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, { weight: 2, arbitrary: fc.constant(false) }),
    {
      maxLength: 400,
    },
  )
  fc.assert(
    fc.property(
      fc.constantFrom(...POLICIES),
      fc.integer({ min: 1, max: 40 }),
      fc.nat(60),
      steps,
      (policy, limit, kept, plan) => {
        const queue = new BoundedQueue<Item>(limit)
        const model = new Model(limit)
        const preloaded = Array.from({ length: kept }, (_, n) => ({ n: -n }))
        queue.preload(preloaded)
        model.items = [...preloaded]
        model.extra = kept
        return plan.every((offer, n) => {
          const item = { n }
          const same = offer
            ? queue.offer(item, policy) === model.offer(item, policy)
            : queue.shift() === model.shift()
          return same && queue.size === model.items.length && queue.size <= limit + kept
        })
      },
    ),
    { numRuns: 1000 },
  )
})

t.test('a long run wraps around and keeps the order', async (t) => {
  const queue = new BoundedQueue<Item>(1000)
  let next = 0
  let wrong = 0
  for (let n = 0; n < 100_000; n++) {
    if (queue.offer({ n }, 'fail') !== undefined) wrong++
    if (n % 1000 > 0) while (queue.size > n % 7) if (queue.shift()?.n !== next++) wrong++
  }
  t.equal(wrong, 0)
  t.ok(next > 99_000)
})

t.test('clear removes all items and resets the limit', async (t) => {
  const queue = new BoundedQueue<Item>(1)
  queue.preload([{ n: 1 }, { n: 2 }, { n: 3 }])
  queue.clear()
  t.equal(queue.size, 0)
  t.equal(queue.shift(), undefined)
  t.equal(queue.offer({ n: 4 }, 'fail'), undefined)
  t.same(queue.offer({ n: 5 }, 'fail'), { n: 5 }, 'the limit is reset')
})

t.test('a million offers and shifts take linear time', async (t) => {
  const queue = new BoundedQueue<Item>(1_000_000)
  const cpuMs = cpuClock()
  for (let n = 0; n < 1_000_000; n++) queue.offer({ n }, 'drop-oldest')
  for (let n = 0; n < 1_000_000; n++) queue.offer({ n }, 'drop-oldest')
  for (let n = 0; n < 1_000_000; n++) queue.shift()
  t.equal(queue.size, 0)
  t.ok(cpuMs() < 3000)
})
