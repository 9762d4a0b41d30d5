// Profile requests to a child: each request receives its own answer or none.
import t from 'tap'
import { ProfileRequests } from '../../src/placement/child-requests.ts'
import type { ChildProfileRequest } from '../../src/placement/wire/protocol.ts'
import { Link } from '../../src/placement/wire/link.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

t.test('a late answer is not taken for the answer to the next request', async (t) => {
  const clock = fakeClock()
  const sent: [string, ChildProfileRequest, number][] = []
  const link = new Link(
    { write: (text) => (sent.push(JSON.parse(text) as (typeof sent)[number]), true) },
    1e6,
    { onLine: () => {}, onBroken: (error) => t.fail(error) },
  )
  t.teardown(() => link.close())
  const profiles = new ProfileRequests()
  const request = { windowMs: 1000 } as ChildProfileRequest
  const first = profiles.take(link, 'w', request, clock)
  clock.advance(11_000)
  await t.rejects(first, { code: 'BYRE_CONTROL_REFUSED' })
  const second = profiles.take(link, 'w', request, clock)
  profiles.answered(sent[0]?.[2], { of: 'the first' }, undefined)
  profiles.answered(sent[1]?.[2], { of: 'the second' }, undefined)
  t.same(await second, { of: 'the second' })
})
