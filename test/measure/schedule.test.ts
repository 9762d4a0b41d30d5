import t from 'tap'
import { schedule } from '../../src/measure/schedule.ts'

const text = (steps: ReturnType<typeof schedule>): string =>
  steps.map((s) => `${s.isWarmup ? 'w' : ''}${s.lane}${s.phase[0]}${s.run}`).join(' ')

t.test('lanes are interleaved, and every second round reverses their order', async (t) => {
  t.equal(text(schedule(['A', 'B'], ['warm'], 3, 0)), 'Aw1 Bw1 Bw2 Aw2 Aw3 Bw3')
})

t.test('warm-ups come first, and a cold run precedes the warm run of its round', async (t) => {
  t.equal(text(schedule(['A'], ['cold', 'warm'], 2, 1)), 'wAw1 Ac1 Aw1 Ac2 Aw2')
})
