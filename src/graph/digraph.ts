// A directed graph on the integers 0..size-1 as compressed sparse rows: two typed arrays for any number of edges.

export interface Digraph {
  /** Number of nodes. */
  readonly size: number
  /** `targets[offsets[v]] .. targets[offsets[v + 1] - 1]` are the successors of v, in the order of the edges passed to digraph(). */
  readonly offsets: Int32Array
  readonly targets: Int32Array
}

/** Builds a graph of `size` nodes from `[from, to]` pairs. Keeps parallel edges and self-loops. Throws RangeError
 *  for a node outside 0..size-1. */
export function digraph(size: number, edges: readonly (readonly [number, number])[]): Digraph {
  const offsets = new Int32Array(size + 1)
  for (const [from, to] of edges) {
    if (!isNode(from, size) || !isNode(to, size))
      throw new RangeError(
        `Cannot build a graph of ${size} nodes: the edge ${from} -> ${to} has a node outside 0..${size - 1}`,
      )
    offsets[from + 1]! += 1
  }
  for (let v = 0; v < size; v++) offsets[v + 1]! += offsets[v]!
  const next = offsets.slice(0, size)
  const targets = new Int32Array(edges.length)
  for (const [from, to] of edges) {
    targets[next[from]!] = to
    next[from]! += 1
  }
  return { size, offsets, targets }
}

/** The successors of `node`, as a view of `targets`. */
export function successors(graph: Digraph, node: number): Int32Array {
  return graph.targets.subarray(graph.offsets[node], graph.offsets[node + 1])
}

/** The same nodes with every edge reversed. */
export function reversed(graph: Digraph): Digraph {
  const edges: [number, number][] = []
  for (let v = 0; v < graph.size; v++) for (const w of successors(graph, v)) edges.push([w, v])
  return digraph(graph.size, edges)
}

function isNode(value: number, size: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < size
}
