import fc from 'fast-check'
import t from 'tap'
import { didYouMean, suggest } from '../../src/base/suggest.ts'

const KEYS = [
  'module',
  'script',
  'stopTimeout',
  'startTimeout',
  'after',
  'restart',
  'on-failure',
  'limit',
  'limits',
]

t.test('a larger number of letters per edit allows fewer edits', async (t) => {
  t.equal(suggest('top', ['stop']), 'stop')
  for (const [word, near] of [
    ['top', undefined],
    ['stats', 'status'],
    ['superwize', 'supervise'],
  ] as const)
    t.equal(suggest(word, ['stop', 'status', 'supervise'], 4), near, word)
})

t.test('the nearest known word is suggested when one is near', async (t) => {
  const table: [string, string | undefined][] = [
    ['modul', 'module'],
    ['moduel', 'module'],
    ['mdoule', 'module'],
    ['MODULE', 'module'],
    ['stoptimeout', 'stopTimeout'],
    ['startimeout', 'startTimeout'],
    ['onfailure', 'on-failure'],
    ['limts', 'limits'],
    ['limit', 'limit'],
    ['aftr', 'after'],
    ['jitter', undefined],
    ['zzz', undefined],
    ['a', undefined],
    ['', undefined],
    ['m'.repeat(65), undefined],
  ]
  for (const [word, expected] of table) t.equal(suggest(word, KEYS), expected, word.slice(0, 20))
  t.equal(didYouMean('modul', KEYS), "; did you mean 'module'?")
  t.equal(didYouMean('zzz', KEYS), '')
})

t.test('a word with one changed letter gets the original suggested; no pair of words throws', async () => {
  fc.assert(
    fc.property(fc.constantFrom(...KEYS), fc.nat(), fc.string({ maxLength: 1 }), (word, at, char) => {
      const i = at % word.length
      return suggest(`${word.slice(0, i)}${char}${word.slice(i + 1)}`, [word]) === word
    }),
  )
  fc.assert(
    fc.property(fc.string(), fc.array(fc.string()), (word, list) =>
      [undefined, ...list].includes(suggest(word, list)),
    ),
  )
})

t.test('the band gives the same distances as the full table', async () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 3, maxLength: 10 })
  fc.assert(
    fc.property(word, word, (a, b) => {
      const limit = Math.min(3, Math.floor(a.length / 3))
      return (suggest(a, [b]) === b) === distance(a, b) <= limit
    }),
    { numRuns: 2000 },
  )
})

t.test('at most ten thousand candidates are compared', async (t) => {
  let compared = 0
  function* many(): Generator<string> {
    for (;;) yield `candidate-${compared++}`
  }
  t.equal(suggest('something else', many()), undefined)
  t.ok(compared <= 10_001, String(compared))
})

/** The textbook algorithm with the full table. */
function distance(a: string, b: string): number {
  const d = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : j === 0 ? i : 0)),
  )
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      d[i]![j] = Math.min(d[i - 1]![j]! + 1, d[i]![j - 1]! + 1, d[i - 1]![j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        d[i]![j] = Math.min(d[i]![j]!, d[i - 2]![j - 2]! + 1)
    }
  }
  return d[a.length]![b.length]!
}
