// Predicts what lazy imports would save, from the graph alone, and ranks them. confirm.ts proves the predictions.

import { digraph } from '../graph/digraph.ts'
import { dominators, retained } from '../graph/dominators.ts'
import { minCut, type MinCut } from '../graph/min-cut.ts'
import { reachable } from '../graph/reach.ts'
import type { ImportEdge, ModuleGraph, ModuleNode } from './module-graph.ts'

/** A set of edges, as indices into `ModuleGraph.edges`, and the predicted saving without them. */
export interface Saving {
  readonly edges: readonly number[]
  readonly predictedBytes: number
  /** The package the cut keeps out; absent for single edges. */
  readonly target?: string
  /** Other cuts of the same size, limited in number. */
  readonly alternatives: readonly (readonly number[])[]
}

export interface PackageCost {
  readonly name: string
  readonly moduleCount: number
  readonly selfBytes: number
  /** Bytes that are freed when no module of the package is loaded. */
  readonly retainedBytes: number
}

/** Whether this edge can be made lazy: its import must be in first-party code, unless `everywhere` is set. */
function isCuttable(graph: ModuleGraph, edge: ImportEdge, everywhere: boolean): boolean {
  if (edge.kind !== 'import' && edge.kind !== 'require') return false
  return everywhere || isFirstParty(graph.nodes[edge.from]!)
}

function isFirstParty(node: ModuleNode): boolean {
  return node.packageName === '' && node.kind !== 'program'
}

/** Bytes that are not loaded without these edges. */
export function savingOf(graph: ModuleGraph, edges: readonly number[]): number {
  const without = new Set(edges)
  const left = reachable(graph.graph, 0, (_from, _to, e) => !without.has(e))
  return graph.nodes.reduce((sum, node) => sum + (left[node.id] === 1 ? 0 : node.selfBytes), 0)
}

/** Packages by retained bytes, the largest first; first-party code is not listed. */
export function packageCosts(graph: ModuleGraph): PackageCost[] {
  const byName = new Map<string, ModuleNode[]>()
  for (const node of graph.nodes)
    if (node.packageName !== '') byName.set(node.packageName, [...(byName.get(node.packageName) ?? []), node])
  const all = graph.nodes.reduce((sum, n) => sum + n.selfBytes, 0)
  return [...byName]
    .map(([name, nodes]) => {
      const inside = new Set(nodes.map((n) => n.id))
      const left = reachable(graph.graph, 0, (_from, to) => !inside.has(to))
      const kept = graph.nodes.reduce((sum, n) => sum + (left[n.id] === 1 ? n.selfBytes : 0), 0)
      const selfBytes = nodes.reduce((sum, n) => sum + n.selfBytes, 0)
      const moduleCount = nodes.filter((n) => n.kind !== 'wrapper').length
      return { name, moduleCount, selfBytes, retainedBytes: all - kept }
    })
    .toSorted((a, b) => b.retainedBytes - a.retainedBytes)
}

/** The nodes that `target` names: a package, or a module by the end of its path; wrappers included. */
export function nodesOf(graph: ModuleGraph, target: string): number[] {
  const inPackage = graph.nodes.filter((n) => n.packageName === target)
  if (inPackage.length > 0) return inPackage.map((n) => n.id)
  const suffix = target.replace(/^\.\//, '')
  return graph.nodes
    .filter((n) => n.url === target || decodeURI(n.url).endsWith(`/${suffix}`) || n.url === `node:${target}`)
    .map((n) => n.id)
}

/** The smallest sets of edges whose removal keeps `sinks` from being loaded. */
export function cutFor(
  graph: ModuleGraph,
  sinks: readonly number[],
  options: { readonly everywhere: boolean; readonly maxAlternatives: number },
): MinCut {
  return minCut(graph.graph, 0, sinks, {
    cuttable: (_from, _to, e) => isCuttable(graph, graph.edges[e]!, options.everywhere),
    maxAlternatives: options.maxAlternatives,
    maxSize: 200,
  })
}

/** The savings worth proving, the largest first: single edges from the dominator tree, and the minimum cut of every
 *  heavy package. */
export function rankSavings(
  graph: ModuleGraph,
  options: { readonly heavyBytes: number; readonly everywhere: boolean },
): Saving[] {
  const found = [...singleEdges(graph, options), ...packageCuts(graph, options)]
  const byEdges = new Map<string, Saving>()
  for (const saving of found) {
    const key = saving.edges.toSorted((a, b) => a - b).join()
    const known = byEdges.get(key)
    byEdges.set(key, known === undefined ? saving : { ...saving, ...known })
  }
  return [...byEdges.values()].toSorted(
    (a, b) => b.predictedBytes - a.predictedBytes || a.edges.length - b.edges.length,
  )
}

/** Keeps one proposal per outcome: of edges on one chain with nearly the same saving (each behind the previous one),
 *  the one with the largest saving. */
export function distinctSavings(graph: ModuleGraph, ranked: readonly Saving[]): Saving[] {
  const { idom, root } = dominators(graph.graph, 0)
  const isBehind = (node: number, dominator: number): boolean => {
    let v = node
    while (v !== dominator && v !== root) v = idom[v]!
    return v === dominator
  }
  const only = (saving: Saving): number | undefined =>
    saving.edges.length === 1 ? graph.edges[saving.edges[0]!]!.to : undefined
  const kept: Saving[] = []
  for (const saving of ranked) {
    const to = only(saving)
    const twin = kept.some((k) => {
      const other = only(k)
      if (Math.abs(k.predictedBytes - saving.predictedBytes) >= 0.02 * k.predictedBytes) return false
      return to !== undefined && other !== undefined && (isBehind(to, other) || isBehind(other, to))
    })
    if (!twin) kept.push(saving)
  }
  return kept
}

/** A single edge saves what its target retains exactly when every other edge into the target comes from a module
 *  behind the target. */
function singleEdges(
  graph: ModuleGraph,
  options: { readonly heavyBytes: number; readonly everywhere: boolean },
): Saving[] {
  const tree = dominators(graph.graph, 0)
  const bytes = retained(
    tree,
    graph.nodes.map((n) => n.selfBytes),
  )
  const isBehind = (node: number, dominator: number): boolean => {
    for (let v = node; v !== -1; v = tree.idom[v]!) {
      if (v === dominator) return true
      if (v === tree.root) return false
    }
    return false
  }
  const waysIn = new Map<number, number[]>()
  for (const [e, edge] of graph.edges.entries())
    if (bytes[edge.to]! >= options.heavyBytes && tree.idom[edge.from] !== -1 && !isBehind(edge.from, edge.to))
      waysIn.set(edge.to, [...(waysIn.get(edge.to) ?? []), e])
  const savings: Saving[] = []
  for (const [to, [only, ...more]] of waysIn)
    if (only !== undefined && more.length === 0 && isCuttable(graph, graph.edges[only]!, options.everywhere))
      savings.push({ edges: [only], predictedBytes: bytes[to]!, alternatives: [] })
  return savings
}

function packageCuts(
  graph: ModuleGraph,
  options: { readonly heavyBytes: number; readonly everywhere: boolean },
): Saving[] {
  const savings: Saving[] = []
  for (const { name, retainedBytes } of packageCosts(graph)) {
    if (retainedBytes < options.heavyBytes || name.startsWith('node:')) continue
    const cut = cutFor(graph, nodesOf(graph, name), { everywhere: options.everywhere, maxAlternatives: 8 })
    if (cut.kind !== 'cut') continue
    const [edges, ...alternatives] = cut.cuts.toSorted((a, b) => savingOf(graph, b) - savingOf(graph, a))
    savings.push({ edges: edges!, predictedBytes: savingOf(graph, edges!), target: name, alternatives })
  }
  return savings
}

/** The same graph without these edges. */
export function withoutEdges(graph: ModuleGraph, edges: readonly number[]): ModuleGraph {
  const without = new Set(edges)
  const kept = graph.edges.filter((_, e) => !without.has(e))
  return {
    ...graph,
    edges: kept,
    graph: digraph(
      graph.nodes.length,
      kept.map((e) => [e.from, e.to] as const),
    ),
  }
}
