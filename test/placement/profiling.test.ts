// A profile asked of a guest: each question gets its own answer or none.
import t from 'tap'
import { Profiling } from '../../src/placement/profiling.ts'
import type { ChildProfileRequest } from '../../src/placement/profiling.ts'
import { Link } from '../../src/placement/wire/link.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

t.test('an answer that comes late does not settle the next question', async (t) => {
  const clock = fakeClock()
  const asked: [string, ChildProfileRequest, number][] = []
  const link = new Link(
    { write: (text) => (asked.push(JSON.parse(text) as (typeof asked)[number]), true) },
    1e6,
    { onLine: () => {}, onBroken: (error) => t.fail(error) },
  )
  t.teardown(() => link.close())
  const profiling = new Profiling()
  const request = { windowMs: 1000 } as ChildProfileRequest
  const first = profiling.take(link, 'w', request, clock)
  clock.advance(11_000)
  await t.rejects(first, { code: 'BYRE_CONTROL_REFUSED' })
  const second = profiling.take(link, 'w', request, clock)
  profiling.answered(asked[0]?.[2], { of: 'the first' }, undefined)
  profiling.answered(asked[1]?.[2], { of: 'the second' }, undefined)
  t.same(await second, { of: 'the second' })
})
