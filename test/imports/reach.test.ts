// Which starting points reach which nodes, against a search from each starting point; and the compact table of the answers.
import fc from 'fast-check'
import t from 'tap'
import { reachedFrom } from '../../src/imports/reach.ts'
import { entriesReaching, packTable, reachTable, unpackTable } from '../../src/imports/table.ts'
import { hash53 } from '../../src/base/hash.ts'

function reachedByBruteForce(imports: readonly (readonly number[])[], roots: readonly number[]): Set<number> {
  const seen = new Set(roots)
  for (const node of seen) for (const next of imports[node]!) seen.add(next)
  return seen
}

/** A graph with cycles, self-loops and parallel edges, and up to 70 starting points, so that a set spans three words. */
const problem = fc.integer({ min: 1, max: 24 }).chain((size) => {
  const node = fc.nat({ max: size - 1 })
  return fc.record({
    imports: fc.array(fc.array(node, { maxLength: 4 }), { minLength: size, maxLength: size }),
    roots: fc.array(fc.array(node, { maxLength: 3 }), { maxLength: 70 }),
  })
})

t.test('each node has exactly the starting points from which a search finds it', async () => {
  fc.assert(
    fc.property(problem, ({ imports, roots }) => {
      const { sets, setOf } = reachedFrom(imports, roots)
      const reached = roots.map((own) => reachedByBruteForce(imports, own))
      for (const node of imports.keys()) {
        const expected = [...roots.keys()].filter((i) => reached[i]!.has(node))
        if (JSON.stringify(sets[setOf[node]!]) !== JSON.stringify(expected)) return false
      }
      return new Set(sets.map(String)).size === sets.length
    }),
    { numRuns: 500 },
  )
})

t.test('a long chain and a wide fan need no deep stack', async (t) => {
  const size = 200_000
  const chain = Array.from({ length: size }, (_, i) => (i + 1 < size ? [i + 1] : []))
  t.same(reachedFrom(chain, [[0], [size - 1]]).sets, [[0], [0, 1]])
})

t.test('a table answers as the map that it was made of, also after it was sent', async () => {
  const path = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
  const files = fc.uniqueArray(fc.tuple(path, fc.nat({ max: 3 })), { selector: ([name]) => name })
  const sets = [['/a.js'], ['/a.js', ''], [], ['/b.js']]
  fc.assert(
    fc.property(files, fc.array(path), (known, others) => {
      const map = new Map(known)
      const made = reachTable([...map.keys()], [...map.values()], sets)
      const sent = unpackTable(JSON.parse(JSON.stringify(packTable(made))) as ReturnType<typeof packTable>)
      return [...map.keys(), ...others].every((name) => {
        const expected = map.has(name) ? sets[map.get(name)!] : undefined
        return [made, sent].every(
          (table) => JSON.stringify(entriesReaching(table, name)) === JSON.stringify(expected),
        )
      })
    }),
  )
})

t.test('the hashes of 300,000 paths differ', async (t) => {
  const seen = new Set<number>()
  for (let i = 0; i < 300_000; i++)
    seen.add(hash53(`/srv/app/node_modules/package-${i % 997}/dist/file-${i}.js`))
  t.equal(seen.size, 300_000)
})
