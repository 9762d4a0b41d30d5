import fc from 'fast-check'
import t from 'tap'
import { components, cycles } from '../../src/graph/cycles.ts'
import { digraph, reversed, successors } from '../../src/graph/digraph.ts'

type Edges = readonly (readonly [number, number])[]

t.test('cycles: one shortest cycle per component, from its smallest node', async (t) => {
  const table: readonly [string, number, Edges, number[][]][] = [
    ['no nodes', 0, [], []],
    ['no edges', 3, [], []],
    ['a loop', 2, [[1, 1]], [[1]]],
    [
      'a diamond is no cycle',
      4,
      [
        [0, 1],
        [0, 2],
        [1, 3],
        [2, 3],
      ],
      [],
    ],
    [
      'a pair',
      3,
      [
        [2, 1],
        [1, 2],
      ],
      [[1, 2]],
    ],
    [
      'a triangle with a tail',
      4,
      [
        [0, 1],
        [1, 2],
        [2, 3],
        [3, 1],
      ],
      [[1, 2, 3]],
    ],
    [
      'the short one of two',
      4,
      [
        [0, 1],
        [1, 2],
        [2, 0],
        [1, 3],
        [3, 2],
        [1, 0],
      ],
      [[0, 1]],
    ],
    [
      'two components',
      5,
      [
        [3, 4],
        [4, 3],
        [0, 1],
        [1, 0],
      ],
      [
        [0, 1],
        [3, 4],
      ],
    ],
    [
      'parallel edges',
      2,
      [
        [0, 1],
        [0, 1],
        [1, 0],
        [1, 0],
      ],
      [[0, 1]],
    ],
  ]
  for (const [name, size, edges, expected] of table) t.same(cycles(digraph(size, edges)), expected, name)
})

t.test('an edge with a node outside the graph is rejected', async (t) => {
  for (const edge of [
    [0, 2],
    [2, 0],
    [-1, 0],
    [0.5, 0],
    [Number.NaN, 0],
  ] as const)
    t.throws(() => digraph(2, [edge]), /outside 0\.\.1/)
})

t.test('a path and a ring of 100,000 nodes do not overflow the call stack', async (t) => {
  const n = 100_000
  const chain = Array.from({ length: n - 1 }, (_, i) => [i, i + 1] as const)
  t.equal(cycles(digraph(n, chain)).length, 0)
  t.equal(cycles(digraph(n, [...chain, [n - 1, 0]]))[0]?.length, n)
})

const graphs = fc.integer({ min: 1, max: 12 }).chain((size) => {
  const node = fc.nat({ max: size - 1 })
  return fc.record({ size: fc.constant(size), edges: fc.array(fc.tuple(node, node), { maxLength: 30 }) })
})

/** Reachability over at least one edge, by brute force. */
function reaches(size: number, edges: Edges): boolean[][] {
  const r = Array.from({ length: size }, () => Array.from({ length: size }, () => false))
  for (const [a, b] of edges) r[a]![b] = true
  for (let k = 0; k < size; k++)
    for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) r[i]![j] ||= r[i]![k]! && r[k]![j]!
  return r
}

t.test('components: two nodes are in the same one exactly when each reaches the other', async () => {
  fc.assert(
    fc.property(graphs, ({ size, edges }) => {
      const r = reaches(size, edges)
      const of = new Map(components(digraph(size, edges)).flatMap((m, i) => m.map((v) => [v, i] as const)))
      for (let a = 0; a < size; a++)
        for (let b = 0; b < size; b++)
          if ((of.get(a) === of.get(b)) !== (a === b || (r[a]![b]! && r[b]![a]!))) return false
      return of.size === size
    }),
  )
})

t.test('components follow those they reach', async () => {
  fc.assert(
    fc.property(graphs, ({ size, edges }) => {
      const of = new Map(components(digraph(size, edges)).flatMap((m, i) => m.map((v) => [v, i] as const)))
      return edges.every(([a, b]) => of.get(a)! >= of.get(b)!)
    }),
  )
})

t.test('cycles: every result is a cycle, and every component with a cycle has a result', async () => {
  fc.assert(
    fc.property(graphs, ({ size, edges }) => {
      const found = cycles(digraph(size, edges))
      const has = new Set(edges.map(([a, b]) => `${a}>${b}`))
      const real = found.every((c) => c.every((v, i) => has.has(`${v}>${c[(i + 1) % c.length]}`)))
      return real && found.length > 0 === reaches(size, edges).some((row, i) => row[i]!)
    }),
  )
})

t.test('reversing twice gives the same edges', async () => {
  fc.assert(
    fc.property(graphs, ({ size, edges }) => {
      const twice = reversed(reversed(digraph(size, edges)))
      const sorted = (v: number): string => [...successors(twice, v)].toSorted((a, b) => a - b).join()
      return Array.from({ length: size }, (_, v) => v).every(
        (v) =>
          sorted(v) ===
          edges
            .filter(([a]) => a === v)
            .map(([, b]) => b)
            .toSorted((a, b) => a - b)
            .join(),
      )
    }),
  )
})
