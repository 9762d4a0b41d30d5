// Minimum edge cut: the smallest set of edges whose removal separates the root from the sinks. Maximum flow by shortest
// augmenting paths (Edmonds, Karp 1972) over unit capacities: the number of rounds is the size of the cut, and a cut that
// a person can act on is small. The minimum cuts correspond to the closed sets of the residual graph (Picard, Queyranne
// 1980); they are listed up to a bound.

import { components } from './cycles.ts'
import { type Digraph, digraph } from './digraph.ts'
import { reachable, type EdgeFilter } from './reach.ts'

export interface MinCutOptions {
  /** Edges that may be cut. @default all */
  readonly cuttable?: EdgeFilter
  /** Upper bound on the cuts returned, 1 or more. @default 16 */
  readonly maxAlternatives?: number
  /** The search stops beyond this many edges. @default 1000 */
  readonly maxSize?: number
}

export type MinCut =
  /** The root reaches no sink: nothing to cut. */
  | { readonly kind: 'apart' }
  /** Some path to a sink consists only of edges that may not be cut; `path` is such a path, root first. */
  | { readonly kind: 'impossible'; readonly path: readonly number[] }
  /** The smallest cut has more than `maxSize` edges. */
  | { readonly kind: 'too-large'; readonly atLeast: number }
  /** `cuts` are the minimum cuts found, the one nearest to the root first. Each has `size` edges, as ascending indices into
   *  `graph.targets`. `complete` is false when there may be more cuts. */
  | {
      readonly kind: 'cut'
      readonly size: number
      readonly cuts: readonly (readonly number[])[]
      readonly complete: boolean
    }

/** Minimum edge cut between `root` and the set `sinks`. Each parallel edge counts as one. Throws RangeError when `root` is
 *  a sink. */
export function minCut(
  graph: Digraph,
  root: number,
  sinks: readonly number[],
  options: MinCutOptions = {},
): MinCut {
  const { cuttable = () => true, maxAlternatives = 16, maxSize = 1000 } = options
  if (sinks.includes(root)) throw new RangeError(`Cannot cut ${root} from itself`)
  const net = network(graph, root, sinks, cuttable)
  for (let size = 0; ; size++) {
    const sent = augment(net)
    if (sent === undefined)
      return size === 0
        ? { kind: 'apart' }
        : { kind: 'cut', size, ...listCuts(net, graph, size, maxAlternatives) }
    if (sent === 'unbounded') return { kind: 'impossible', path: uncuttablePath(net, graph) }
    if (size >= maxSize) return { kind: 'too-large', atLeast: size + 1 }
  }
}

/** Residual network. Arc 2e is edge e of the graph, arc 2e+1 its reverse; every sink has an edge to one extra node. */
interface Network {
  readonly size: number
  readonly root: number
  readonly sink: number
  readonly from: Int32Array
  readonly to: Int32Array
  readonly capacity: Float64Array
  readonly arcsOf: readonly number[][]
  readonly edgeCount: number
  readonly cuttable: Uint8Array
}

function network(graph: Digraph, root: number, sinks: readonly number[], cuttable: EdgeFilter): Network {
  const edgeCount = graph.targets.length
  const arcs = 2 * (edgeCount + sinks.length)
  const sink = graph.size
  const net: Network = {
    size: graph.size + 1,
    root,
    sink,
    from: new Int32Array(arcs),
    to: new Int32Array(arcs),
    capacity: new Float64Array(arcs),
    arcsOf: Array.from({ length: graph.size + 1 }, () => []),
    edgeCount,
    cuttable: new Uint8Array(edgeCount + sinks.length),
  }
  const link = (edge: number, a: number, b: number, free: boolean): void => {
    net.cuttable[edge] = free ? 1 : 0
    for (const [arc, u, v, capacity] of [
      [2 * edge, a, b, free ? 1 : Number.POSITIVE_INFINITY],
      [2 * edge + 1, b, a, 0],
    ] as const) {
      net.from[arc] = u
      net.to[arc] = v
      net.capacity[arc] = capacity
      net.arcsOf[u]!.push(arc)
    }
  }
  for (let v = 0; v < graph.size; v++)
    for (let e = graph.offsets[v]!; e < graph.offsets[v + 1]!; e++) {
      const w = graph.targets[e]!
      link(e, v, w, v !== w && cuttable(v, w, e))
    }
  for (const [i, v] of sinks.entries()) link(edgeCount + i, v, sink, false)
  return net
}

/** Sends one more unit of flow from root to sink; undefined when there is no augmenting path, 'unbounded' when one has
 *  infinite capacity. */
function augment(net: Network): 'sent' | 'unbounded' | undefined {
  const by = new Int32Array(net.size).fill(-1)
  const queue = [net.root]
  for (const v of queue) {
    if (v === net.sink) break
    for (const arc of net.arcsOf[v]!) {
      const w = net.to[arc]!
      if (net.capacity[arc]! <= 0 || by[w] !== -1 || w === net.root) continue
      by[w] = arc
      queue.push(w)
    }
  }
  if (by[net.sink] === -1) return undefined
  let room = Number.POSITIVE_INFINITY
  for (let v = net.sink; v !== net.root; v = net.from[by[v]!]!) room = Math.min(room, net.capacity[by[v]!]!)
  if (room === Number.POSITIVE_INFINITY) return 'unbounded'
  for (let v = net.sink; v !== net.root; v = net.from[by[v]!]!) {
    net.capacity[by[v]!]! -= 1
    net.capacity[by[v]! ^ 1]! += 1
  }
  return 'sent'
}

function uncuttablePath(net: Network, graph: Digraph): number[] {
  const by = new Int32Array(net.size).fill(-1)
  const queue = [net.root]
  for (const v of queue)
    for (const arc of net.arcsOf[v]!) {
      const w = net.to[arc]!
      if ((arc & 1) === 1 || net.cuttable[arc >> 1] === 1 || by[w] !== -1 || w === net.root) continue
      by[w] = arc
      queue.push(w)
    }
  const path: number[] = []
  for (let v = net.sink; v !== net.root; v = net.from[by[v]!]!) path.push(v)
  return [net.root, ...path.toReversed()].filter((v) => v < graph.size)
}

function listCuts(
  net: Network,
  graph: Digraph,
  size: number,
  limit: number,
): { cuts: number[][]; complete: boolean } {
  const relevant = nodesBetween(graph, net)
  const arcs: [number, number][] = []
  for (let a = 0; a < net.to.length; a++)
    if (net.capacity[a]! > 0 && relevant[net.from[a]!] === 1 && relevant[net.to[a]!] === 1)
      arcs.push([net.from[a]!, net.to[a]!])
  const residual = digraph(net.size, arcs)
  const groups = components(residual)
  const groupOf = new Int32Array(net.size)
  for (const [g, members] of groups.entries()) for (const v of members) groupOf[v] = g
  const needs = groups.map(() => new Set<number>())
  for (const [a, b] of arcs) if (groupOf[a] !== groupOf[b]) needs[groupOf[a]!]!.add(groupOf[b]!)

  const inside = reachable(residual, net.root)
  const outside = groupsThatReach(needs, groupOf[net.sink]!)
  const chosen = groups.map((members) => inside[members[0]!] === 1)
  const open = [...groups.keys()].filter(
    (g) => !chosen[g] && !outside.has(g) && relevant[groups[g]![0]!] === 1,
  )
  // A component follows those it reaches, so the groups that a group needs are decided before it.
  const mayEnter = (g: number): boolean => [...needs[g]!].every((n) => chosen[n])
  const found = new Map<string, number[]>()
  for (let visits = 0; visits < 200 * limit && found.size < limit; visits++) {
    const cut = cutEdges(net, relevant, (v) => chosen[groupOf[v]!]!)
    if (cut.length === size) found.set(cut.join(), cut)
    if (!nextClosedSet(open, chosen, mayEnter)) return { cuts: [...found.values()], complete: true }
  }
  return { cuts: [...found.values()], complete: false }
}

/** Advances `chosen` to the next closed set, in the order of binary counting; false after the last. */
function nextClosedSet(
  open: readonly number[],
  chosen: boolean[],
  mayEnter: (group: number) => boolean,
): boolean {
  for (let i = open.length - 1; i >= 0; i--) {
    const g = open[i]!
    if (!chosen[g] && mayEnter(g)) {
      chosen[g] = true
      return true
    }
    chosen[g] = false
  }
  return false
}

/** Marks the sink and every node on a path from the root to it; other nodes do not affect a cut. */
function nodesBetween(graph: Digraph, net: Network): Uint8Array {
  const ahead = reachable(graph, net.root)
  const back = new Uint8Array(net.size)
  back[net.sink] = 1
  const queue = [net.sink]
  for (const v of queue)
    for (const arc of net.arcsOf[v]!) {
      const w = net.to[arc]!
      if ((arc & 1) === 0 || back[w] === 1) continue
      back[w] = 1
      queue.push(w)
    }
  return back.map((b, v) => (v === net.sink || (b === 1 && ahead[v] === 1) ? 1 : 0))
}

function groupsThatReach(needs: readonly ReadonlySet<number>[], target: number): Set<number> {
  const reaching = new Set([target])
  for (let g = target + 1; g < needs.length; g++)
    if ([...needs[g]!].some((n) => reaching.has(n))) reaching.add(g)
  return reaching
}

function cutEdges(net: Network, relevant: Uint8Array, inside: (node: number) => boolean): number[] {
  const cut: number[] = []
  for (let e = 0; e < net.edgeCount; e++) {
    const [from, to] = [net.from[2 * e]!, net.to[2 * e]!]
    if (net.cuttable[e] === 0 || relevant[from] === 0 || relevant[to] === 0) continue
    if (inside(from) && !inside(to)) cut.push(e)
  }
  return cut
}
