import fc from 'fast-check'
import t from 'tap'
import { createScheduler } from '../../src/base/scheduler.ts'
import { periodMs, slackMs, startPeriod } from '../../src/worker/every.ts'
import { fakeClock } from '../helpers/fake-clock.ts'

const turns = async (n = 4): Promise<void> => {
  for (let i = 0; i < n; i++) await Promise.resolve()
}

t.test('a period is 10 ms to 365 d, as a number or a duration', async (t) => {
  t.equal(periodMs('1.5s'), 1500)
  t.equal(periodMs(10), 10)
  for (const bad of [
    9,
    0,
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    366 * 86_400_000,
    '5ms',
    '366d',
    '',
    'soon',
    '1 s',
  ]) {
    t.throws(() => periodMs(bad), { code: 'BYRE_ARGUMENT_INVALID' }, String(bad))
  }
})

t.test('jitter outside 0 to 1 and unknown options are refused', async (t) => {
  const clock = fakeClock()
  const parameters = {
    scheduler: createScheduler(clock),
    monotonic: clock.monotonic,
    random: () => 0,
    tick: async () => {},
  }
  t.throws(() => startPeriod(100, { jiter: 0, imediate: true } as never, parameters), {
    code: 'BYRE_ARGUMENT_INVALID',
    message: /^Cannot repeat: 2 problems\n  jiter: .*'jitter'\?\n  imediate: .*'immediate'\?$/,
  })
  for (const jitter of [-0.1, 1.1, Number.NaN]) {
    t.throws(() => startPeriod(100, { jitter }, parameters), { code: 'BYRE_ARGUMENT_INVALID' })
  }
})

t.test('ticks do not drift: the n-th tick is due n periods after the start', async (t) => {
  const clock = fakeClock()
  const at: number[] = []
  const release = startPeriod(
    1000,
    { jitter: 0 },
    {
      scheduler: createScheduler(clock),
      monotonic: clock.monotonic,
      random: () => 0,
      tick: async () => void at.push(clock.now()),
    },
  )
  for (let i = 0; i < 1010; i++) {
    clock.advance(10)
    await turns()
  }
  release()
  t.equal(at.length, 10)
  at.forEach((time, i) =>
    t.ok(time >= (i + 1) * 1000 && time <= (i + 1) * 1000 + slackMs(1000) + 10, `tick ${i} at ${time}`),
  )
})

t.test('a tick that takes longer than the period skips the missed ticks and never overlaps', async (t) => {
  const clock = fakeClock()
  let [running, most, skipped, ticks] = [0, 0, 0, 0]
  let finish: () => void = () => {}
  const release = startPeriod(
    100,
    { jitter: 0 },
    {
      scheduler: createScheduler(clock),
      monotonic: clock.monotonic,
      random: () => 0,
      onSkipped: (count) => (skipped += count),
      tick: async () => {
        ticks++
        most = Math.max(most, ++running)
        await new Promise<void>((resolve) => {
          finish = resolve
        })
        running--
      },
    },
  )
  clock.advance(110)
  await turns()
  clock.advance(350)
  finish()
  await turns()
  clock.advance(50)
  await turns()
  release()
  finish()
  t.equal(most, 1)
  t.equal(skipped, 3, 'the ticks due at 200, 300 and 400')
  t.equal(ticks, 2, 'the next tick is the one due at 500')
})

t.test('property: for any durations, one tick runs at a time and none after the release', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(500), { maxLength: 20 }), async (durations) => {
      const clock = fakeClock()
      let [running, bad, released, i] = [0, 0, false, 0]
      const release = startPeriod(
        100,
        { jitter: 0.5, immediate: true },
        {
          scheduler: createScheduler(clock),
          monotonic: clock.monotonic,
          random: () => 0.3,
          tick: async () => {
            if (running > 0 || released) bad++
            running++
            await new Promise<void>(
              (resolve) => void clock.setTimer(durations[i++ % Math.max(1, durations.length)] ?? 0, resolve),
            )
            running--
          },
        },
      )
      for (let step = 0; step < 60; step++) {
        clock.advance(37)
        await turns()
      }
      release()
      released = true
      clock.advance(5000)
      await turns()
      return bad === 0
    }),
    { numRuns: 50 },
  )
})
