import fc from 'fast-check'
import t from 'tap'
import { digraph, type Digraph } from '../../src/graph/digraph.ts'
import { minCut } from '../../src/graph/min-cut.ts'
import { reachable } from '../../src/graph/reach.ts'

/** The end nodes of the edge with this index. */
function edge(graph: Digraph, index: number): string {
  let v = 0
  while (graph.offsets[v + 1]! <= index) v++
  return `${v}>${graph.targets[index]}`
}

function named(graph: Digraph, cuts: readonly (readonly number[])[]): string[][] {
  return cuts.map((c) => c.map((e) => edge(graph, e)))
}

t.test('an edge shared by all paths is a cut; two such edges in a row are two alternatives', async (t) => {
  const g = digraph(4, [
    [0, 1],
    [1, 2],
    [2, 3],
  ])
  const cut = minCut(g, 0, [3])
  t.same(cut.kind === 'cut' && [cut.size, cut.complete, named(g, cut.cuts)], [
    1,
    true,
    [['0>1'], ['1>2'], ['2>3']],
  ])
})

t.test('25 paths into a hub are cut by one edge after it, or by 25 edges before it', async (t) => {
  const hub = 26
  const edges: [number, number][] = [[hub, 27]]
  for (let i = 1; i <= 25; i++) edges.push([0, i], [i, hub])
  const g = digraph(28, edges)
  const behind = minCut(g, 0, [27])
  t.same(behind.kind === 'cut' && [behind.size, named(g, behind.cuts)], [1, [['26>27']]])
  const before = minCut(g, 0, [27], { cuttable: (from) => from !== hub, maxAlternatives: 3 })
  t.same(before.kind === 'cut' && [before.size, before.cuts.length, before.complete], [25, 3, false])
})

t.test('a root and sink that cannot be separated are reported with a path', async (t) => {
  const g = digraph(3, [
    [0, 1],
    [1, 2],
  ])
  t.same(minCut(g, 0, [2], { cuttable: () => false }), { kind: 'impossible', path: [0, 1, 2] })
  t.same(minCut(g, 2, [0]), { kind: 'apart' })
  t.throws(() => minCut(g, 1, [1, 2]), RangeError)
  const wide = digraph(2, [
    [0, 1],
    [0, 1],
    [0, 1],
  ])
  t.same(minCut(wide, 0, [1], { maxSize: 2 }), { kind: 'too-large', atLeast: 3 })
})

t.test('a path of 20,000 nodes does not overflow the call stack; alternatives are bounded', async (t) => {
  const n = 20_000
  const g = digraph(
    n,
    Array.from({ length: n - 1 }, (_, i) => [i, i + 1] as const),
  )
  const cut = minCut(g, 0, [n - 1])
  t.same(cut.kind === 'cut' && [cut.size, cut.cuts.length, cut.complete], [1, 16, false])
})

const cases = fc.integer({ min: 2, max: 7 }).chain((size) => {
  const node = fc.nat({ max: size - 1 })
  return fc.record({
    size: fc.constant(size),
    edges: fc.array(fc.tuple(node, node, fc.boolean()), { maxLength: 11 }),
    sinks: fc.uniqueArray(fc.integer({ min: 1, max: size - 1 }), { minLength: 1, maxLength: 2 }),
  })
})

t.test('the cuts are exactly the smallest separating sets of cuttable edges (brute force)', async (t) => {
  fc.assert(
    fc.property(cases, ({ size, edges, sinks }) => {
      const g = digraph(
        size,
        edges.map(([a, b]) => [a, b] as const),
      )
      const free = freedom(g, edges)
      const apart = (without: ReadonlySet<number>): boolean => {
        const r = reachable(g, 0, (_a, _b, e) => !without.has(e))
        return sinks.every((s) => r[s] === 0)
      }
      const expected = smallest(free, apart)
      const got = minCut(g, 0, sinks, { cuttable: (_a, _b, e) => free.includes(e), maxAlternatives: 10_000 })
      if (apart(new Set())) return got.kind === 'apart'
      if (expected === undefined) return got.kind === 'impossible' && got.path[0] === 0
      if (got.kind !== 'cut' || !got.complete) return false
      t.equal(got.size, expected[0]!.length)
      const key = (sets: readonly (readonly number[])[]): string[] => sets.map((s) => s.join()).toSorted()
      return key(got.cuts).join(';') === key(expected).join(';')
    }),
    { numRuns: 1500 },
  )
})

/** Indices of the cuttable edges without self-loops. */
function freedom(g: Digraph, edges: readonly (readonly [number, number, boolean])[]): number[] {
  const flags = g.offsets.subarray(0, g.size)
  const next = flags.slice()
  const free: number[] = []
  for (const [a, b, may] of edges) {
    const index = next[a]!++
    if (may && a !== b) free.push(index)
  }
  return free.toSorted((a, b) => a - b)
}

function smallest(
  free: readonly number[],
  apart: (without: ReadonlySet<number>) => boolean,
): number[][] | undefined {
  let best: number[][] | undefined
  for (let mask = 0; mask < 1 << free.length; mask++) {
    const set = free.filter((_, i) => (mask >> i) & 1)
    if (best !== undefined && set.length > best[0]!.length) continue
    if (!apart(new Set(set))) continue
    if (best === undefined || set.length < best[0]!.length) best = []
    best.push(set)
  }
  return best
}
