// Reachability and shortest paths.

import type { Digraph } from './digraph.ts'

/** True when the edge from -> to, at `index` in `graph.targets`, may be used. */
export type EdgeFilter = (from: number, to: number, index: number) => boolean

/** 1 for every node reachable from `root`, itself included, over edges that `allow` accepts; else 0. */
export function reachable(graph: Digraph, root: number, allow?: EdgeFilter): Uint8Array {
  const seen = new Uint8Array(graph.size)
  if (graph.size === 0) return seen
  seen[root] = 1
  const queue = [root]
  for (const v of queue) {
    for (let e = graph.offsets[v]!; e < graph.offsets[v + 1]!; e++) {
      const w = graph.targets[e]!
      if (seen[w] === 1 || (allow !== undefined && !allow(v, w, e))) continue
      seen[w] = 1
      queue.push(w)
    }
  }
  return seen
}

/** A shortest path `[from, ..., to]`, or undefined when there is none. Of several shortest paths, the one whose edges come
 *  first in the graph. `[from]` when `from` equals `to`. */
export function shortestPath(
  graph: Digraph,
  from: number,
  to: number,
  allow?: EdgeFilter,
): number[] | undefined {
  const cameFrom = new Int32Array(graph.size).fill(-1)
  cameFrom[from] = from
  const queue = [from]
  for (const v of queue) {
    if (v === to) return walkBack(cameFrom, from, to)
    for (let e = graph.offsets[v]!; e < graph.offsets[v + 1]!; e++) {
      const w = graph.targets[e]!
      if (cameFrom[w] !== -1 || (allow !== undefined && !allow(v, w, e))) continue
      cameFrom[w] = v
      queue.push(w)
    }
  }
  return undefined
}

function walkBack(cameFrom: Int32Array, from: number, to: number): number[] {
  const path = [to]
  for (let v = to; v !== from; v = cameFrom[v]!) path.push(cameFrom[v]!)
  return path.toReversed()
}
