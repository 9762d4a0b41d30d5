import fc from 'fast-check'
import t from 'tap'
import { PatternTrie } from '../../src/bus/trie.ts'
import { coversByRule, patterns, topics } from './arbitraries.ts'
import { cpuClock } from '../helpers/cpu.ts'

interface Entry {
  readonly pattern: string
}

function found(trie: PatternTrie<Entry>, topic: string): Entry[] {
  const values: Entry[] = []
  trie.match(topic, values)
  return values
}

t.test(
  'after any adds and removes a topic finds exactly the patterns that cover it, each as often as added',
  async () => {
    const steps = fc.array(fc.tuple(patterns, fc.boolean()), { maxLength: 40 })
    fc.assert(
      fc.property(steps, fc.array(topics, { minLength: 1, maxLength: 10 }), (changes, asked) => {
        const trie = new PatternTrie<Entry>()
        const entries: Entry[] = []
        for (const [pattern, add] of changes) {
          const at = entries.findIndex((e) => e.pattern === pattern)
          if (add || at === -1) {
            const entry = { pattern }
            entries.push(entry)
            trie.add(pattern, entry)
          } else if (!trie.remove(pattern, entries.splice(at, 1)[0]!)) return false
        }
        if (trie.size !== entries.length) return false
        return asked.every((topic) => {
          const expected = new Set(entries.filter((e) => coversByRule(e.pattern, topic)))
          const actual = found(trie, topic)
          return actual.length === expected.size && actual.every((e) => expected.has(e))
        })
      }),
      { numRuns: 2000 },
    )
  },
)

t.test('removing everything leaves an empty trie', async () => {
  fc.assert(
    fc.property(fc.array(patterns, { maxLength: 30 }), (all) => {
      const trie = new PatternTrie<Entry>()
      const entries = all.map((pattern) => ({ pattern }))
      for (const entry of entries) trie.add(entry.pattern, entry)
      for (const entry of entries.toReversed()) if (!trie.remove(entry.pattern, entry)) return false
      // no node may remain: a herd that starts and stops workers for months must not grow
      return trie.size === 0 && trie.nodes === 1
    }),
    { numRuns: 1000 },
  )
})

t.test('removing a pair that is not in the trie changes nothing', async (t) => {
  const trie = new PatternTrie<Entry>()
  const entry = { pattern: 'a.b' }
  trie.add('a.b', entry)
  for (const pattern of ['a', 'a.b.c', 'a.*', 'a.>', '>', '*', 'b', 'a.c'])
    t.notOk(trie.remove(pattern, entry), pattern)
  t.notOk(trie.remove('a.b', { pattern: 'a.b' }), 'another value')
  t.same(found(trie, 'a.b'), [entry])
  t.equal(trie.size, 1)
})

t.test('one value may have several patterns, and one pattern a value twice', async (t) => {
  const trie = new PatternTrie<Entry>()
  const entry = { pattern: '' }
  trie.add('a.*', entry)
  trie.add('a.*', entry)
  trie.add('>', entry)
  t.equal(found(trie, 'a.b').length, 3)
  trie.remove('a.*', entry)
  t.equal(found(trie, 'a.b').length, 2)
  trie.clear()
  t.same(found(trie, 'a.b'), [])
  t.equal(trie.size, 0)
})

t.test('tokens named like object properties are tokens', async (t) => {
  const trie = new PatternTrie<Entry>()
  for (const topic of ['__proto__', 'constructor', 'toString.__proto__', 'hasOwnProperty'])
    t.same(found(trie, topic), [])
  const entry = { pattern: '__proto__.*' }
  trie.add(entry.pattern, entry)
  trie.add('constructor', entry)
  t.same(found(trie, '__proto__.constructor'), [entry])
})

t.test('the deepest pattern works, and so do 20,000 values on one pattern', async (t) => {
  const trie = new PatternTrie<Entry>()
  const deep = Array.from({ length: 128 }, () => '*').join('.')
  const entry = { pattern: deep }
  trie.add(deep, entry)
  t.same(found(trie, deep.replaceAll('*', 'a')), [entry])
  t.ok(trie.remove(deep, entry))
  for (let i = 0; i < 20_000; i++) trie.add('many', { pattern: 'many' })
  t.equal(found(trie, 'many').length, 20_000)
})

t.test('the time of a match depends on the topic, not on the number of patterns', async (t) => {
  const trie = new PatternTrie<Entry>()
  for (let i = 0; i < 100_000; i++) trie.add(`worker-${i}.*.done`, { pattern: 'x' })
  const cpuMs = cpuClock()
  for (let i = 0; i < 10_000; i++) if (found(trie, `worker-${i}.job.done`).length !== 1) t.fail('lost')
  t.ok(cpuMs() < 1000, 'ten thousand in a second among a hundred thousand')
})
