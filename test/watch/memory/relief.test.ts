// What a group over its memory does next: the decisions as a table, and what holds for every course of events.
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
import type { Look, ReliefEvent, ReliefState, ReliefStep } from '../../../src/watch/memory/relief.ts'

const look = (over: boolean, usedBytes: number, atMs = 0, urgent = false): Look => ({
  atMs,
  usedBytes,
  over,
  urgent,
})
const relieving = (step: ReliefStep, beforeBytes = 100, fruitless = 0): ReliefState => ({
  kind: 'relieving',
  step,
  beforeBytes,
  fruitless,
})
const cooling = (sinceMs: number, fruitless = 0): ReliefState => ({ kind: 'cool-down', sinceMs, fruitless })

const TABLE: readonly [law: string, ReliefState, ReliefEvent, expected: object][] = [
  ['below and under: nothing', BELOW, { type: 'looked', look: look(false, 50) }, { next: BELOW }],
  [
    'over for the first time: collects',
    BELOW,
    { type: 'looked', look: look(true, 100) },
    { next: relieving('collect'), begin: 'collect' },
  ],
  [
    'a look while a step is under way decides nothing',
    relieving('collect'),
    { type: 'looked', look: look(true, 120) },
    { next: relieving('collect') },
  ],
  [
    'the collection was enough: cool-down, told with before and after',
    relieving('collect'),
    { type: 'done', look: look(false, 60, 7) },
    { next: cooling(7), told: { step: 'collect', beforeBytes: 100, afterBytes: 60 } },
  ],
  [
    'it was not: sleepers are next',
    relieving('collect'),
    { type: 'done', look: look(true, 90) },
    {
      next: relieving('sleep', 90),
      begin: 'sleep',
      told: { step: 'collect', beforeBytes: 100, afterBytes: 90 },
    },
  ],
  [
    'nor were they: the largest',
    relieving('sleep', 90),
    { type: 'done', look: look(true, 85) },
    {
      next: relieving('largest', 85),
      begin: 'largest',
      told: { step: 'sleep', beforeBytes: 90, afterBytes: 85 },
    },
  ],
  [
    'after the last step comes the cool-down, over or not',
    relieving('largest', 85),
    { type: 'done', look: look(true, 85, 9) },
    { next: cooling(9, 1), told: { step: 'largest', beforeBytes: 85, afterBytes: 85 } },
  ],
  [
    'over within the cool-down: waits',
    cooling(0),
    { type: 'looked', look: look(true, 100, COOL_DOWN_MS - 1) },
    { next: cooling(0) },
  ],
  [
    'over after it: begins again',
    cooling(0),
    { type: 'looked', look: look(true, 100, COOL_DOWN_MS) },
    { next: relieving('collect'), begin: 'collect' },
  ],
  [
    'close to the bound it waits less',
    cooling(0),
    { type: 'looked', look: look(true, 100, URGENT_COOL_DOWN_MS, true) },
    { next: relieving('collect'), begin: 'collect' },
  ],
  [
    'the first round in vain: the next waits no longer',
    cooling(0, 1),
    { type: 'looked', look: look(true, 100, COOL_DOWN_MS) },
    { next: relieving('collect', 100, 1), begin: 'collect' },
  ],
  [
    'a second one in a row: twice as long',
    cooling(0, 2),
    { type: 'looked', look: look(true, 100, 2 * COOL_DOWN_MS - 1) },
    { next: cooling(0, 2) },
  ],
  [
    'and then again',
    cooling(0, 2),
    { type: 'looked', look: look(true, 100, 2 * COOL_DOWN_MS) },
    { next: relieving('collect', 100, 2), begin: 'collect' },
  ],
  [
    'close to the bound it doubles as well',
    cooling(0, 3),
    { type: 'looked', look: look(true, 100, 4 * URGENT_COOL_DOWN_MS - 1, true) },
    { next: cooling(0, 3) },
  ],
  [
    'never longer than an hour',
    cooling(0, 5000),
    { type: 'looked', look: look(true, 100, COOL_DOWN_MAX_MS) },
    { next: relieving('collect', 100, 5000), begin: 'collect' },
  ],
  [
    'the steps of a round remember the rounds before',
    relieving('largest', 85, 4),
    { type: 'done', look: look(true, 85, 9) },
    { next: cooling(9, 5), told: { step: 'largest', beforeBytes: 85, afterBytes: 85 } },
  ],
  [
    'under within a long cool-down: what comes next is a new shortage',
    cooling(0, 5),
    { type: 'looked', look: look(false, 50, 10) },
    { next: cooling(0) },
  ],
  [
    'under after it: below',
    cooling(0),
    { type: 'looked', look: look(false, 50, COOL_DOWN_MS) },
    { next: BELOW },
  ],
  [
    'the end of a step that is forgotten decides nothing',
    BELOW,
    { type: 'done', look: look(true, 100) },
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
  'whatever comes: one step at a time, in order, only when over, rounds apart, each step told once',
  async () => {
    fc.assert(
      fc.property(EVENTS, (events) => {
        let state: ReliefState = BELOW
        let underWay: ReliefStep | undefined
        let roundEndedMs = Number.NEGATIVE_INFINITY
        let atMs = 0
        for (const { done, afterMs, ...rest } of events) {
          atMs += afterMs
          const { next, begin, told } = relieve(state, {
            type: done ? 'done' : 'looked',
            look: { atMs, ...rest },
          })
          if (told !== undefined) {
            if (told.step !== underWay || !done) return false
            underWay = undefined
            roundEndedMs = atMs
          }
          if (begin !== undefined) {
            if (underWay !== undefined || !rest.over) return false
            const first = begin === 'collect'
            const apartMs = rest.urgent ? URGENT_COOL_DOWN_MS : COOL_DOWN_MS
            if (first && (told !== undefined || atMs - roundEndedMs < apartMs)) return false
            if (!first && told?.step !== RELIEF_STEPS[RELIEF_STEPS.indexOf(begin) - 1]) return false
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
