// Cycles of a directed graph: Tarjan's strongly connected components (SIAM J. Comput. 1(2), 1972) with an explicit
// stack, so that a path of 100,000 nodes does not overflow the call stack.

import { type Digraph, successors } from './digraph.ts'

/** The strongly connected components; every node is in exactly one. Members are in ascending order; a component follows
 *  the components it reaches (reverse topological order). */
export function components(graph: Digraph): number[][] {
  const { size, offsets, targets } = graph
  const index = new Int32Array(size).fill(-1)
  const low = new Int32Array(size)
  const nextEdge = offsets.slice(0, size)
  const open = new Uint8Array(size)
  const stack: number[] = []
  const path: number[] = []
  const found: number[][] = []
  let visited = 0

  const enter = (v: number): void => {
    index[v] = low[v] = visited++
    open[v] = 1
    stack.push(v)
    path.push(v)
  }
  const leave = (v: number): void => {
    path.pop()
    const parent = path.at(-1)
    if (parent !== undefined) low[parent] = Math.min(low[parent]!, low[v]!)
    if (low[v] !== index[v]) return
    const members = stack.splice(stack.lastIndexOf(v))
    for (const w of members) open[w] = 0
    found.push(members.toSorted((a, b) => a - b))
  }

  for (let root = 0; root < size; root++) {
    if (index[root] === -1) enter(root)
    while (path.length > 0) {
      const v = path.at(-1)!
      const edge = nextEdge[v]!
      if (edge === offsets[v + 1]) {
        leave(v)
        continue
      }
      nextEdge[v] = edge + 1
      const w = targets[edge]!
      if (index[w] === -1) enter(w)
      else if (open[w] === 1) low[v] = Math.min(low[v]!, index[w]!)
    }
  }
  return found
}

/** For every component with a cycle, one shortest cycle through its smallest node: `[a, b, c]` for a -> b -> c -> a, `[a]`
 *  for a self-loop. Ordered by that node. Empty when the graph is acyclic. */
export function cycles(graph: Digraph): number[][] {
  return components(graph)
    .map((members) => shortestCycle(graph, new Set(members), members[0]!))
    .filter((cycle) => cycle !== undefined)
    .toSorted((a, b) => a[0]! - b[0]!)
}

function shortestCycle(graph: Digraph, within: ReadonlySet<number>, start: number): number[] | undefined {
  const cameFrom = new Map<number, number>()
  const queue = [start]
  for (const v of queue) {
    for (const w of successors(graph, v)) {
      if (w === start) return pathTo(v, start, cameFrom)
      if (!within.has(w) || cameFrom.has(w)) continue
      cameFrom.set(w, v)
      queue.push(w)
    }
  }
  return undefined
}

function pathTo(end: number, start: number, cameFrom: ReadonlyMap<number, number>): number[] {
  const path = [end]
  while (path.at(-1) !== start) path.push(cameFrom.get(path.at(-1)!)!)
  return path.toReversed()
}
