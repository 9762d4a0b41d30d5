// Dates of a cron on a clock that is fed: what is set on, set back, or changed twice a year.
import t from 'tap'
import type { Test } from 'tap'
import { createScheduler } from '../../src/base/scheduler.ts'
import { armActivation } from '../../src/herd/activation.ts'
import type { ActivationDeps } from '../../src/herd/activation.ts'
import type { Runner } from '../../src/herd/runner.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import type { FakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** Ticks as dates, to the second; `crons` share one scheduler. */
async function armed(
  t: Test,
  start: string,
  crons: readonly string[],
  timezone = 'UTC',
): Promise<{ clock: FakeClock; ticks: string[] }> {
  const clock = fakeClock(Date.parse(start))
  const ticks: string[] = []
  const scheduler = createScheduler(clock)
  const deps = { clock, scheduler, random: () => 0 } as unknown as ActivationDeps
  for (const expression of crons) {
    const activation = { kind: 'lazy', topics: [], streams: [], cron: { expression, timezone } }
    const tick = (): void => void ticks.push(`${new Date(clock.now()).toISOString().slice(0, 19)}Z`)
    t.teardown(await armActivation({ spec: { activation }, tick } as unknown as Runner, deps))
  }
  t.teardown(() => scheduler.close())
  return { clock, ticks }
}

t.test('a date passed by a step of the wall clock comes within a minute, once', async (t) => {
  const { clock, ticks } = await armed(t, '2026-06-01T00:00:00Z', ['0 * * * *'])
  clock.advance(10 * MINUTE_MS)
  clock.step(5 * HOUR_MS)
  clock.advance(MINUTE_MS)
  t.equal(ticks.length, 1, String(ticks))
  clock.advance(48 * MINUTE_MS)
  t.equal(ticks.length, 1)
  clock.advance(2 * MINUTE_MS)
  t.same(ticks.slice(1), ['2026-06-01T06:00:00Z'])
})

t.test('a step back keeps the date', async (t) => {
  const { clock, ticks } = await armed(t, '2026-06-01T00:00:00Z', ['0 * * * *'])
  clock.advance(59 * MINUTE_MS + 50_000)
  clock.step(-30 * MINUTE_MS)
  clock.advance(30 * MINUTE_MS)
  t.same(ticks, [])
  clock.advance(MINUTE_MS)
  t.same(ticks, ['2026-06-01T01:00:00Z'])
})

t.test('a far date is to the second', async (t) => {
  const { clock, ticks } = await armed(t, '2026-06-01T00:00:17Z', ['30 0 3 * * *'])
  clock.advance(48 * HOUR_MS)
  t.same(ticks, ['2026-06-01T03:00:30Z', '2026-06-02T03:00:30Z'])
})

t.test('dates follow the local time when the clocks change', async (t) => {
  const spring = await armed(t, '2026-03-28T12:00:00Z', ['0 4 * * *'], 'Europe/Berlin')
  spring.clock.advance(48 * HOUR_MS)
  t.same(spring.ticks, ['2026-03-29T02:00:00Z', '2026-03-30T02:00:00Z'])
  const autumn = await armed(t, '2026-10-24T12:00:00Z', ['0 4 * * *'], 'Europe/Berlin')
  autumn.clock.advance(10 * HOUR_MS)
  autumn.clock.step(6 * HOUR_MS) // suspended over the change
  autumn.clock.advance(32 * HOUR_MS)
  t.equal(autumn.ticks.length, 2, String(autumn.ticks))
  t.match(autumn.ticks[0], /^2026-10-25T04:0[01]/)
  t.equal(autumn.ticks[1], '2026-10-26T03:00:00Z')
})

t.test('an hour that comes twice ticks once a day, one that does not come too', async (t) => {
  for (const day of ['2026-10-24T12:00:00Z', '2026-03-28T12:00:00Z']) {
    const { clock, ticks } = await armed(t, day, ['30 2 * * *'], 'Europe/Berlin')
    clock.advance(24 * HOUR_MS)
    t.equal(ticks.length, 1, String(ticks))
  }
})

t.test('workers with far dates share the looks: one timer, one wake-up a minute', async (t) => {
  const crons = Array.from({ length: 60 }, (_, minute) => `${minute} 0 1 1 *`)
  const { clock } = await armed(t, '2026-06-01T00:00:00Z', crons)
  let wakes = 0
  t.equal(clock.armed, 1)
  const { setTimer } = clock
  Object.assign(clock, {
    setTimer: (ms: number, fn: () => void) =>
      setTimer(ms, () => {
        wakes++
        fn()
      }),
  })
  clock.advance(HOUR_MS)
  t.ok(wakes <= 61, `${wakes} wake-ups in an hour`)
  t.equal(clock.armed, 1)
})
