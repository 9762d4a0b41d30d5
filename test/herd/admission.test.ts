// Bounded, weighted admission: order, weights, slots that are given up, and the refusal when the queue is full.
import t from 'tap'
import { createScheduler } from '../../src/base/scheduler.ts'
import type { Placement, ResolvedWorker } from '../../src/config/types.ts'
import { createAdmission } from '../../src/herd/admission.ts'
import type { Admission, Ticket } from '../../src/herd/admission.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import type { FakeClock } from '../helpers/fake-clock.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Stage {
  readonly clock: FakeClock
  readonly admission: Admission
  readonly begun: string[]
  readonly enter: (name: string, more?: { weight?: number; placement?: Placement }) => Ticket
}

function stage(options: { max?: number; queue?: number; cores?: number } = {}): Stage {
  const clock = fakeClock()
  const admission = createAdmission({
    queue: 1000,
    cores: 2,
    ...options,
    scheduler: createScheduler(clock),
    placeOf: (spec) => spec.placement,
  })
  const begun: string[] = []
  return {
    clock,
    admission,
    begun,
    enter: (name, { weight = 1, placement = 'process' } = {}) =>
      admission.enter({ name, weight, placement } as ResolvedWorker, () => begun.push(name)),
  }
}

t.test('beside the loop as many load as there are cores, in order', async (t) => {
  const { admission, begun, enter } = stage({ cores: 2 })
  const tickets = ['a', 'b', 'c', 'd'].map((name) => enter(name))
  t.same(begun, ['a', 'b'])
  t.same(admission.status, { loading: 2, waiting: 2 })
  tickets[1]!.leave()
  t.same(begun, ['a', 'b', 'c'])
  tickets[3]!.leave() // not wanted any more
  tickets[0]!.leave()
  tickets[2]!.leave()
  tickets[2]!.leave()
  t.same(begun, ['a', 'b', 'c'], 'who left the queue is not begun')
  t.same(admission.status, { loading: 0, waiting: 0 })
})

t.test('a load that ended leaves no timer behind', async (t) => {
  const { clock, enter } = stage({ cores: 2 })
  const [one, two] = [enter('a'), enter('b')]
  t.ok(clock.armed > 0)
  one.leave()
  two.leave()
  t.equal(clock.armed, 0)
})

t.test('the shared loop has a line of its own, of 32', async (t) => {
  const { begun, enter } = stage({ cores: 1 })
  enter('p')
  enter('p2')
  for (let i = 0; i < 40; i++) enter(`s${i}`, { placement: 'shared' })
  t.equal(begun.filter((name) => name.startsWith('s')).length, 32)
  t.same(
    begun.filter((name) => name.startsWith('p')),
    ['p'],
  )
})

t.test(
  'admission.max is the weight of all placements together; heavier than the whole goes alone',
  async (t) => {
    const { begun, enter } = stage({ max: 3 })
    const a = enter('a', { weight: 2 })
    const heavy = enter('heavy', { weight: 9 })
    const b = enter('b', { weight: 1, placement: 'shared' })
    t.same(begun, ['a'], 'b is not let past the heavy one, which would wait for ever')
    a.leave()
    t.same(begun, ['a', 'heavy'])
    heavy.leave()
    t.same(begun, ['a', 'heavy', 'b'])
    enter('c', { weight: 2 })
    t.same(begun.at(-1), 'c')
    b.leave()
  },
)

t.test('a load that never ends gives its slot up', async (t) => {
  const { clock, begun, enter } = stage({ max: 1 })
  enter('hung')
  enter('hung too', { placement: 'shared' })
  enter('next')
  clock.advance(9_999)
  t.same(begun, ['hung'])
  clock.advance(1)
  t.same(begun, ['hung', 'hung too'])
  clock.advance(250)
  t.same(begun, ['hung', 'hung too', 'next'])
})

t.test('weights that are fractions add up to nothing once all have left', async (t) => {
  const { begun, enter } = stage({ max: 1 })
  for (let i = 0; i < 1000; i++) enter(`w${i}`, { weight: 0.1 }).leave()
  const ten = Array.from({ length: 11 }, (_, i) => enter(`t${i}`, { weight: 0.1 }))
  t.equal(begun.filter((name) => name.startsWith('t')).length, 10)
  for (const ticket of ten) ticket.leave()
})

t.test('a thousand enter and leave without a slot lost', async (t) => {
  const { admission, begun, enter } = stage({ max: 4 })
  const waiting = Array.from({ length: 1000 }, (_, i) => enter(`w${i}`, { weight: 1 + (i % 3) }))
  for (const ticket of waiting) ticket.leave()
  t.same(admission.status, { loading: 0, waiting: 0 })
  t.equal(new Set(begun).size, begun.length)
})

t.test('a command that wants one more load than may wait is refused with BYRE_ADMISSION_FULL', async (t) => {
  // Three whose load never ends within the test, one slot, one place to wait.
  const hung = `await new Promise((r) => setTimeout(r, 60_000)); export const run = () => {}`
  const herd = await startHerd(t, {
    workers: { a: hung, b: hung, c: hung },
    config: {
      admission: { max: 1, queue: 1 },
      defaults: { activation: { topics: ['x'] }, placement: 'process', stopTimeout: '100ms' },
    },
  })
  t.match(await herd.act('a', 'start'), { status: 202 })
  t.match(await herd.act('b', 'start'), { status: 202, body: { state: 'loading' } })
  t.match((await herd.status()).admission, { loading: 1, waiting: 1 })
  t.match(await herd.act('c', 'wake'), {
    status: 429,
    body: {
      ok: false,
      error: { code: 'BYRE_ADMISSION_FULL', message: /1 workers are already waiting to load/ },
    },
  })
  t.equal((await herd.worker('c')).state, 'dormant', 'nothing was done')
  t.match(await herd.act('b', 'stop'), { status: 202 }, 'what wants no load is not refused')
  t.match(await herd.act('c', 'wake'), { status: 202 })
})
