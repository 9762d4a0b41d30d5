import fc from 'fast-check'
import t from 'tap'
import { digraph } from '../../src/graph/digraph.ts'
import { dominators, retained } from '../../src/graph/dominators.ts'
import { reachable, shortestPath } from '../../src/graph/reach.ts'

const graphs = fc.integer({ min: 1, max: 10 }).chain((size) => {
  const node = fc.nat({ max: size - 1 })
  return fc.record({
    size: fc.constant(size),
    edges: fc.array(fc.tuple(node, node), { maxLength: 26 }),
    weights: fc.array(fc.integer({ min: -50, max: 1000 }), { minLength: size, maxLength: size }),
  })
})

/** Edges on a shortest path from `from` to every node; -1 where there is no path. */
function distancesFrom(from: number, size: number, edges: readonly (readonly [number, number])[]): number[] {
  const distance = Array.from<number>({ length: size }).fill(-1)
  distance[from] = 0
  const queue = [from]
  for (const v of queue)
    for (const [a, b] of edges) {
      if (a !== v || distance[b] !== -1) continue
      distance[b] = distance[v]! + 1
      queue.push(b)
    }
  return distance
}

t.test('a node retains the weight that becomes unreachable without it (brute force)', async () => {
  fc.assert(
    fc.property(graphs, ({ size, edges, weights }) => {
      const g = digraph(size, edges)
      const all = reachable(g, 0)
      const sums = retained(dominators(g, 0), weights)
      for (let v = 0; v < size; v++) {
        const left = v === 0 ? new Uint8Array(size) : reachable(g, 0, (_from, to) => to !== v)
        const lost = weights.reduce((sum, w, i) => sum + (all[i] === 1 && left[i] === 0 ? w : 0), 0)
        if (sums[v] !== (all[v] === 1 ? lost : 0)) return false
      }
      return true
    }),
    { numRuns: 1500 },
  )
})

t.test('a node reached over two paths is dominated by neither', async (t) => {
  const g = digraph(4, [
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 3],
  ])
  t.same([...retained(dominators(g, 0), [1, 10, 100, 1000])], [1111, 10, 100, 1000])
})

t.test('a ladder of 100,000 nodes does not overflow the call stack', async (t) => {
  const n = 100_000
  const edges = Array.from({ length: n - 2 }, (_, i) => [
    [i, i + 1],
    [i, i + 2],
  ]).flat() as [number, number][]
  const sums = retained(dominators(digraph(n, [...edges, [n - 2, n - 1]]), 0), new Uint8Array(n).fill(1))
  t.equal(sums[0], n)
})

t.test('a shortest path consists of edges of the graph, and no shorter one exists', async () => {
  fc.assert(
    fc.property(graphs, ({ size, edges }) => {
      const g = digraph(size, edges)
      const has = new Set(edges.map(([a, b]) => `${a}>${b}`))
      const distance = distancesFrom(0, size, edges)
      return Array.from({ length: size }, (_, v) => v).every((v) => {
        const path = shortestPath(g, 0, v)
        if (path === undefined) return distance[v] === -1 && reachable(g, 0)[v] === 0
        const real = path.every((p, i) => i === 0 || has.has(`${path[i - 1]}>${p}`))
        return real && path[0] === 0 && path.at(-1) === v && path.length - 1 === distance[v]
      })
    }),
  )
})

t.test('a path does not use an edge that the filter rejects', async (t) => {
  const g = digraph(3, [
    [0, 2],
    [0, 1],
    [1, 2],
  ])
  t.same(shortestPath(g, 0, 2), [0, 2])
  t.same(
    shortestPath(g, 0, 2, (from, to) => !(from === 0 && to === 2)),
    [0, 1, 2],
  )
})
