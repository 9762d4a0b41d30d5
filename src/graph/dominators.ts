// Dominators: d dominates v when every path from the root to v passes through d. Removing a node makes exactly the nodes
// it dominates unreachable. Algorithm: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (Rice University,
// 2001); iterative, so that a path of 100,000 nodes does not overflow the call stack.

import { type Digraph, reversed, successors } from './digraph.ts'

export interface Dominators {
  readonly root: number
  /** Immediate dominator of each node; the root's is itself; -1 for a node that the root does not reach. */
  readonly idom: Int32Array
  /** The reachable nodes in reverse postorder: a node follows its immediate dominator. */
  readonly order: readonly number[]
}

/** The dominator tree of the nodes that `root` reaches. */
export function dominators(graph: Digraph, root: number): Dominators {
  const order = reversePostorder(graph, root)
  const rank = new Int32Array(graph.size).fill(-1)
  for (const [i, v] of order.entries()) rank[v] = i
  const incoming = reversed(graph)
  const idom = new Int32Array(graph.size).fill(-1)
  idom[root] = root

  const meet = (a: number, b: number): number => {
    while (a !== b) {
      while (rank[a]! > rank[b]!) a = idom[a]!
      while (rank[b]! > rank[a]!) b = idom[b]!
    }
    return a
  }
  for (let changed = true; changed; ) {
    changed = false
    for (const v of order) {
      if (v === root) continue
      let best = -1
      for (const p of successors(incoming, v)) {
        if (idom[p] === -1) continue
        best = best === -1 ? p : meet(p, best)
      }
      if (idom[v] !== best) {
        idom[v] = best
        changed = true
      }
    }
  }
  return { root, idom, order }
}

/** For each node, the sum of `weights` over it and every node it dominates; 0 for a node that the root does not reach.
 *  Weights may be negative. */
export function retained(tree: Dominators, weights: ArrayLike<number>): Float64Array {
  const sums = new Float64Array(tree.idom.length)
  for (const v of tree.order) sums[v] = weights[v]!
  for (let i = tree.order.length - 1; i > 0; i--) {
    const v = tree.order[i]!
    sums[tree.idom[v]!]! += sums[v]!
  }
  return sums
}

function reversePostorder(graph: Digraph, root: number): number[] {
  const next = graph.offsets.slice(0, graph.size)
  const seen = new Uint8Array(graph.size)
  const post: number[] = []
  const path = [root]
  seen[root] = 1
  while (path.length > 0) {
    const v = path.at(-1)!
    if (next[v] === graph.offsets[v + 1]) {
      post.push(v)
      path.pop()
      continue
    }
    const w = graph.targets[next[v]!]!
    next[v]! += 1
    if (seen[w] === 1) continue
    seen[w] = 1
    path.push(w)
  }
  return post.toReversed()
}
