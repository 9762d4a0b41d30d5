import fc from 'fast-check'
import t from 'tap'
import { createScheduler } from '../../src/base/scheduler.ts'
import { fakeClock } from '../helpers/fake-clock.ts'

t.test('any number of entries needs one armed timer', async (t) => {
  const clock = fakeClock()
  const scheduler = createScheduler(clock)
  for (let i = 0; i < 1000; i++) scheduler.after(i * 10 + 10, () => {})
  t.equal(clock.armed, 1)
  scheduler.close()
  t.equal(clock.armed, 0)
})

t.test('entries within each other\u2019s slack share a wake-up', async (t) => {
  const clock = fakeClock()
  const fired: number[] = []
  const scheduler = createScheduler(clock)
  scheduler.after(100, () => fired.push(clock.now()), 50)
  scheduler.after(140, () => fired.push(clock.now()))
  clock.advance(1000)
  t.same(fired, [140, 140])
})

t.test('the other entries run when one throws', async (t) => {
  const clock = fakeClock()
  const scheduler = createScheduler(clock)
  let ran = false
  const caught = new Promise((resolve) => process.once('uncaughtException', resolve))
  scheduler.after(10, () => {
    throw new Error('one')
  })
  scheduler.after(10, () => {
    ran = true
  })
  clock.advance(10)
  t.ok(ran)
  t.match(await caught, { message: 'one' })
})

t.test(
  'property: every entry fires once, never early and never after its slack; a cancelled one never fires',
  async () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ delay: fc.nat(1000), slack: fc.nat(100), cancel: fc.boolean() }), {
          maxLength: 60,
        }),
        (entries) => {
          const clock = fakeClock()
          const scheduler = createScheduler(clock)
          const fired = entries.map(() => [] as number[])
          const timers = entries.map((entry, i) =>
            scheduler.after(entry.delay, () => fired[i]!.push(clock.now()), entry.slack),
          )
          entries.forEach((entry, i) => entry.cancel && timers[i]!.cancel())
          clock.advance(2000)
          return (
            scheduler.size === 0 &&
            entries.every((entry, i) =>
              entry.cancel
                ? fired[i]!.length === 0
                : fired[i]!.length === 1 &&
                  fired[i]![0]! >= entry.delay &&
                  fired[i]![0]! <= entry.delay + entry.slack,
            )
          )
        },
      ),
    )
  },
)

t.test(
  'property: an entry that cancels another, due in the same turn or not, cancels no third one',
  async () => {
    const entry = fc.record({
      delay: fc.nat(20),
      slack: fc.nat(5),
      cancels: fc.array(fc.nat(19), { maxLength: 3 }),
    })
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
        const clock = fakeClock()
        const scheduler = createScheduler(clock)
        const [fired, cancelled] = [new Set<number>(), new Set<number>()]
        const timers = entries.map(({ delay, slack, cancels }, i) =>
          scheduler.after(
            delay,
            () => {
              fired.add(i)
              for (const other of cancels) {
                if (!fired.has(other)) cancelled.add(other)
                timers[other]?.cancel()
              }
            },
            slack,
          ),
        )
        clock.advance(100)
        return scheduler.size === 0 && entries.every((_, i) => fired.has(i) !== cancelled.has(i))
      }),
      { numRuns: 1000 },
    )
  },
)
