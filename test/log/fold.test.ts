import fc from 'fast-check'
import t from 'tap'
import { createFold, kindOf } from '../../src/log/fold.ts'
import type { Folded } from '../../src/log/fold.ts'

const none = (): void => {}

t.test('the first lines of a window pass; the rest are reported as one count at its end', async (t) => {
  const fold = createFold<string>({ lines: 2, windowMs: 100 })
  const reported: Folded<string>[] = []
  const admit = (nowMs: number): boolean =>
    fold.admit(
      'k',
      nowMs,
      () => `at ${nowMs}`,
      (f) => reported.push(f),
    )
  t.same([0, 10, 20, 30].map(admit), [true, true, false, false])
  t.equal(fold.nextDueMs, 100)
  fold.due(99, (f) => reported.push(f))
  t.same(reported, [], 'not before the window has ended')
  fold.due(100, (f) => reported.push(f))
  t.same(reported, [{ key: 'k', about: 'at 0', count: 2, windowMs: 100 }])
  t.equal(fold.nextDueMs, undefined, 'no timer is needed while nothing is held back')
  t.equal(admit(101), true, 'a new window')
  t.equal(fold.total, 2)
})

t.test('a line after the end of a window reports it and starts a new one', async (t) => {
  const fold = createFold<undefined>({ lines: 1, windowMs: 100 })
  const reported: number[] = []
  const admit = (nowMs: number): boolean =>
    fold.admit(
      'k',
      nowMs,
      () => undefined,
      (f) => reported.push(f.count),
    )
  t.same([0, 1, 2, 250, 251].map(admit), [true, false, false, true, false])
  t.same(reported, [2])
  fold.drain(260, (f) => reported.push(f.windowMs))
  t.same(reported, [2, 10], 'a window reported early has its real length')
})

t.test('kinds are bounded: the least recently used one is reported and evicted', async (t) => {
  const fold = createFold<undefined>({ lines: 1, windowMs: 1000, kinds: 2 })
  const reported: string[] = []
  const admit = (key: string): boolean =>
    fold.admit(
      key,
      0,
      () => undefined,
      (f) => reported.push(f.key),
    )
  for (const key of ['a', 'a', 'b', 'b', 'a']) admit(key)
  t.same(reported, [])
  admit('c')
  t.same(reported, ['b'], 'a was used after b')
})

t.test('counts add up: passed + reported = input, for any times, kinds and options', async () => {
  const steps = fc.array(fc.tuple(fc.nat(7), fc.nat(400), fc.boolean()), { maxLength: 300, size: 'max' })
  fc.assert(
    fc.property(steps, fc.nat(4), fc.integer({ min: 1, max: 500 }), fc.integer({ min: 1, max: 6 }), check),
    { numRuns: 500 },
  )
  function check(
    calls: [number, number, boolean][],
    lines: number,
    windowMs: number,
    kinds: number,
  ): boolean {
    const fold = createFold<undefined>({ lines, windowMs, kinds })
    const passed = new Map<string, number>()
    const reported = new Map<string, number>()
    const input = new Map<string, number>()
    const add = (to: Map<string, number>, key: string, n: number): unknown =>
      to.set(key, (to.get(key) ?? 0) + n)
    const report = (f: Folded<undefined>): unknown => add(reported, f.key, f.count)
    let nowMs = 0
    for (const [kind, deltaMs, due] of calls) {
      nowMs += deltaMs
      if (due) fold.due(nowMs, report)
      add(input, `${kind}`, 1)
      if (fold.admit(`${kind}`, nowMs, () => undefined, report)) add(passed, `${kind}`, 1)
      if (fold.nextDueMs !== undefined && fold.nextDueMs > nowMs + windowMs) return false
    }
    fold.drain(nowMs, report)
    const sum = [...reported.values()].reduce((a, b) => a + b, 0)
    return (
      fold.nextDueMs === undefined &&
      fold.total === sum &&
      [...input].every(([key, n]) => (passed.get(key) ?? 0) + (reported.get(key) ?? 0) === n)
    )
  }
})

t.test('a flood of new kinds is remembered up to the limit only', async (t) => {
  const fold = createFold<undefined>()
  const passed = (keys: readonly string[], nowMs: number): number =>
    keys.filter((key) => fold.admit(key, nowMs, () => undefined, none)).length
  const keys = Array.from({ length: 50_000 }, (_, i) => `kind ${i}`)
  t.equal(passed(keys, 0), 50_000)
  t.equal(passed(Array(6).fill('kind 49999'), 1), 4, 'the last thousand are remembered')
  t.equal(passed(Array(6).fill('kind 10'), 1), 5, 'the others begin anew')
})

const KINDS: readonly [string, unknown, unknown, string][] = [
  ['a message', 'delivered', undefined, 'delivered'],
  ['numbers', 'delivered 12 in 3.5ms', undefined, 'delivered # in #.#ms'],
  ['fields first', { id: 7 }, 'delivered 7', 'delivered #'],
  ['a uuid', 'job 0f8fad5b-d9cb-469f-a165-70867728950e done', undefined, 'job # done'],
  ['a hash', 'commit deadbeef01 seen', undefined, 'commit # seen'],
  ['words of hex letters stay', 'facade decade', undefined, 'facade decade'],
  ['an error', new TypeError('x of 3'), undefined, 'TypeError: x of #'],
  ['err', { err: new Error('gone') }, undefined, 'Error: gone'],
  ['msg', { msg: 'm' }, undefined, 'm'],
  ['event', { event: 'tick', n: 1 }, undefined, 'tick'],
  ['keys', { b: 1, a: 2 }, undefined, 'b,a'],
  ['nothing', undefined, undefined, 'undefined'],
  ['long', 'x'.repeat(1000), undefined, 'x'.repeat(160)],
  [
    'hostile',
    {
      get msg() {
        throw new Error('no')
      },
    },
    undefined,
    '(unreadable)',
  ],
]
for (const [title, fields, message, kind] of KINDS)
  t.test(`kind of a line: ${title}`, async (t) => t.equal(kindOf(fields, message), kind))
