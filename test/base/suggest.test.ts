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

t.test('the nearest known word, when one is near', async (t) => {
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

t.test('a word with one letter changed finds its way back; two words never raise an error', async () => {
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

t.test('ten thousand candidates cost milliseconds, more are not looked at', async (t) => {
  const many = Array.from({ length: 1_000_000 }, (_, i) => `${'worker-'.repeat(8)}${i}`)
  const startedAt = performance.now()
  suggest(`${'workre-'.repeat(8)}x`, many)
  t.ok(performance.now() - startedAt < 1000)
})
