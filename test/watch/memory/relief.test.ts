// The next step of a group over its memory limit: a table of decisions, and invariants over random events.
import fc from 'fast-check'
import t from 'tap'
import {
  BELOW,
  COOL_DOWN_MAX_MS,
  COOL_DOWN_MS,
  RELIEF_STEPS,
  relieve,
  URGENT_COOL_DOWN_MS,
} from '../../../src/watch/memory/relief.ts'
import type { MemorySample, ReliefEvent, ReliefState, ReliefStep } from '../../../src/watch/memory/relief.ts'

const sampleAt = (over: boolean, usedBytes: number, atMs = 0, urgent = false): MemorySample => ({
  atMs,
  usedBytes,
  over,
  urgent,
})
const relieving = (step: ReliefStep, beforeBytes = 100, failedRounds = 0): ReliefState => ({
  kind: 'relieving',
  step,
  beforeBytes,
  failedRounds,
})
const cooling = (sinceMs: number, failedRounds = 0): ReliefState => ({
  kind: 'cool-down',
  sinceMs,
  failedRounds,
})

const TABLE: readonly [law: string, ReliefState, ReliefEvent, expected: object][] = [
  ['below and under: nothing', BELOW, { type: 'sampled', sample: sampleAt(false, 50) }, { next: BELOW }],
  [
    'over for the first time: collects',
    BELOW,
    { type: 'sampled', sample: sampleAt(true, 100) },
    { next: relieving('collect'), begin: 'collect' },
  ],
  [
    'a sample while a step is in progress decides nothing',
    relieving('collect'),
    { type: 'sampled', sample: sampleAt(true, 120) },
    { next: relieving('collect') },
  ],
  [
    'the collection was enough: cool-down, outcome with before and after',
    relieving('collect'),
    { type: 'done', sample: sampleAt(false, 60, 7) },
    { next: cooling(7), outcome: { step: 'collect', beforeBytes: 100, afterBytes: 60 } },
  ],
  [
    'it was not: sleepers are next',
    relieving('collect'),
    { type: 'done', sample: sampleAt(true, 90) },
    {
      next: relieving('sleep', 90),
      begin: 'sleep',
      outcome: { step: 'collect', beforeBytes: 100, afterBytes: 90 },
    },
  ],
  [
    'nor were they: the largest',
    relieving('sleep', 90),
    { type: 'done', sample: sampleAt(true, 85) },
    {
      next: relieving('largest', 85),
      begin: 'largest',
      outcome: { step: 'sleep', beforeBytes: 90, afterBytes: 85 },
    },
  ],
  [
    'after the last step comes the cool-down, over or not',
    relieving('largest', 85),
    { type: 'done', sample: sampleAt(true, 85, 9) },
    { next: cooling(9, 1), outcome: { step: 'largest', beforeBytes: 85, afterBytes: 85 } },
  ],
  [
    'over within the cool-down: waits',
    cooling(0),
    { type: 'sampled', sample: sampleAt(true, 100, COOL_DOWN_MS - 1) },
    { next: cooling(0) },
  ],
  [
    'over after it: begins again',
    cooling(0),
    { type: 'sampled', sample: sampleAt(true, 100, COOL_DOWN_MS) },
    { next: relieving('collect'), begin: 'collect' },
  ],
  [
    'close to the limit it waits less',
    cooling(0),
    { type: 'sampled', sample: sampleAt(true, 100, URGENT_COOL_DOWN_MS, true) },
    { next: relieving('collect'), begin: 'collect' },
  ],
  [
    'after the first failed round the next one waits no longer',
    cooling(0, 1),
    { type: 'sampled', sample: sampleAt(true, 100, COOL_DOWN_MS) },
    { next: relieving('collect', 100, 1), begin: 'collect' },
  ],
  [
    'after a second consecutive one it waits twice as long',
    cooling(0, 2),
    { type: 'sampled', sample: sampleAt(true, 100, 2 * COOL_DOWN_MS - 1) },
    { next: cooling(0, 2) },
  ],
  [
    'and then begins again',
    cooling(0, 2),
    { type: 'sampled', sample: sampleAt(true, 100, 2 * COOL_DOWN_MS) },
    { next: relieving('collect', 100, 2), begin: 'collect' },
  ],
  [
    'close to the limit it doubles as well',
    cooling(0, 3),
    { type: 'sampled', sample: sampleAt(true, 100, 4 * URGENT_COOL_DOWN_MS - 1, true) },
    { next: cooling(0, 3) },
  ],
  [
    'never longer than an hour',
    cooling(0, 5000),
    { type: 'sampled', sample: sampleAt(true, 100, COOL_DOWN_MAX_MS) },
    { next: relieving('collect', 100, 5000), begin: 'collect' },
  ],
  [
    'the steps of a round remember the rounds before',
    relieving('largest', 85, 4),
    { type: 'done', sample: sampleAt(true, 85, 9) },
    { next: cooling(9, 5), outcome: { step: 'largest', beforeBytes: 85, afterBytes: 85 } },
  ],
  [
    'under within a long cool-down: the next round belongs to a new shortage',
    cooling(0, 5),
    { type: 'sampled', sample: sampleAt(false, 50, 10) },
    { next: cooling(0) },
  ],
  [
    'under after it: below',
    cooling(0),
    { type: 'sampled', sample: sampleAt(false, 50, COOL_DOWN_MS) },
    { next: BELOW },
  ],
  [
    'the end of an abandoned step decides nothing',
    BELOW,
    { type: 'done', sample: sampleAt(true, 100) },
    { next: BELOW },
  ],
]

for (const [law, state, event, expected] of TABLE)
  t.test(law, async (t) => {
    t.same(relieve(state, event), expected)
  })

const EVENTS = fc.array(
  fc.record({
    done: fc.boolean(),
    over: fc.boolean(),
    urgent: fc.boolean(),
    usedBytes: fc.nat(1000),
    afterMs: fc.nat(40_000),
  }),
  { maxLength: 60 },
)

t.test(
  'for any events: one step at a time, in order, only when over, rounds apart, one outcome for each step',
  async () => {
    fc.assert(
      fc.property(EVENTS, (events) => {
        let state: ReliefState = BELOW
        let underWay: ReliefStep | undefined
        let roundEndedMs = Number.NEGATIVE_INFINITY
        let atMs = 0
        for (const { done, afterMs, ...rest } of events) {
          atMs += afterMs
          const { next, begin, outcome } = relieve(state, {
            type: done ? 'done' : 'sampled',
            sample: { atMs, ...rest },
          })
          if (outcome !== undefined) {
            if (outcome.step !== underWay || !done) return false
            underWay = undefined
            roundEndedMs = atMs
          }
          if (begin !== undefined) {
            if (underWay !== undefined || !rest.over) return false
            const first = begin === 'collect'
            const apartMs = rest.urgent ? URGENT_COOL_DOWN_MS : COOL_DOWN_MS
            if (first && (outcome !== undefined || atMs - roundEndedMs < apartMs)) return false
            if (!first && outcome?.step !== RELIEF_STEPS[RELIEF_STEPS.indexOf(begin) - 1]) return false
            underWay = begin
          }
          if ((next.kind === 'relieving') !== (underWay !== undefined)) return false
          state = next
        }
        return true
      }),
      { numRuns: 500 },
    )
  },
)
