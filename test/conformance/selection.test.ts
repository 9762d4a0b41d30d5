import fc from 'fast-check'
import t from 'tap'
import { script } from './script.ts'

interface Selection {
  isCandidate: (file: string) => boolean
  familyOf: (file: string) => string
  parseList: (text: string) => string[]
  shuffle: (files: readonly string[], seed: string) => string[]
  choose: (
    ordered: readonly string[],
    count: number,
    passes: (file: string) => boolean | undefined,
  ) => { chosen: string[]; unknown: string[] }
}
const { isCandidate, familyOf, parseList, shuffle, choose } = await script<Selection>('selection.mjs')

t.test('a candidate belongs to a family that hosting touches', async (t) => {
  const cases: [string, boolean][] = [
    ['parallel/test-timers.js', true],
    ['parallel/test-timers-unref.mjs', true],
    ['parallel/test-child-process-fork.js', true],
    ['async-hooks/test-anything-at-all.js', true],
    ['parallel/test-timersome.js', false],
    ['parallel/test-crypto-hash.js', false],
    ['sequential/test-timers.js', false],
    ['parallel/test-timers.json', false],
  ]
  for (const [file, expected] of cases) t.equal(isCandidate(file), expected, file)
})

t.test('the family is the first word of the name', async (t) => {
  t.equal(familyOf('parallel/test-timers-unref.js'), 'timers')
  t.equal(familyOf('parallel/test-child-process-fork.js'), 'child-process')
  t.equal(familyOf('async-hooks/test-timers.js'), 'async-hooks')
})

t.test('a list has one name a line, and comments', async (t) => {
  t.same(parseList('# the first half\na.js\n\n  b.js  \n'), ['a.js', 'b.js'])
})

t.test('the order depends on the seed and each name only', async (t) => {
  const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 2, maxLength: 30 })
  fc.assert(
    fc.property(names, fc.string(), (files, seed) => {
      const ordered = shuffle(files, seed)
      t.same(new Set(ordered), new Set(files))
      t.same(shuffle(files.toReversed(), seed), ordered, 'not on the order they come in')
      const [, ...others] = files
      t.same(
        shuffle(others, seed),
        ordered.filter((file) => file !== files[0]),
        'nor on the others',
      )
    }),
    { numRuns: 50 },
  )
  const files = Array.from({ length: 20 }, (_, i) => `file-${i}`)
  t.not(shuffle(files, '1').join(), shuffle(files, '2').join(), 'another seed gives another order')
})

t.test('a sample is final when nothing in it is unknown', async (t) => {
  const known = new Map([
    ['a', true],
    ['b', false],
    ['d', true],
    ['e', true],
  ])
  const passes = (file: string): boolean | undefined => known.get(file)
  const ordered = ['a', 'b', 'c', 'd', 'e']
  t.same(choose(ordered, 2, passes), { chosen: ['a'], unknown: ['c'] })
  known.set('c', false)
  t.same(choose(ordered, 2, passes), { chosen: ['a', 'd'], unknown: [] })
  t.same(choose(ordered, 9, passes), { chosen: ['a', 'd', 'e'], unknown: [] }, 'fewer than wanted')
})
