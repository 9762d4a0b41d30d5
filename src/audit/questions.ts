// `--what-if 'a.js -> b.js'` and `--cut typeorm`: from words to edges, and the answer before it is proven.

import { ByreError } from '../base/errors.ts'
import { didYouMean } from '../base/suggest.ts'
import { chainText, createLabeller, type ChainStep, type Labeller } from './chain.ts'
import type { ModuleGraph } from './module-graph.ts'
import { cutFor, nodesOf, savingOf, withoutEdges, type Saving } from './savings.ts'

export type Question =
  | {
      readonly kind: 'what-if'
      readonly question: string
      readonly saving: Saving
      readonly stillReachedBy?: readonly ChainStep[]
    }
  | { readonly kind: 'cut'; readonly question: string; readonly saving: Saving; readonly complete: boolean }
  | {
      readonly kind: 'no-cut'
      readonly question: string
      readonly reason: string
      readonly chain: readonly ChainStep[]
    }

/** `a.js -> b.js`, where each side is the end of a path or a package name. Throws BYRE_AUDIT_TARGET when the edge is
 *  not in the graph. */
export function askWhatIf(graph: ModuleGraph, text: string, cwd: string): Question {
  const sides = text.split(/\s*->\s*/)
  if (sides.length !== 2 || sides.includes(''))
    throw targetError(text, "an edge is written 'a.js -> b.js'", 'Put the importing module first.')
  const [from, to] = sides.map((side) => new Set(nodesOf(graph, side.replace(/:\d+$/, '')))) as [
    Set<number>,
    Set<number>,
  ]
  const edges = [...graph.edges.keys()].filter((e) => {
    const edge = graph.edges[e]!
    const inside = from.has(edge.from) && to.has(edge.from)
    return (
      !inside && from.has(edge.from) && to.has(edge.to) && edge.kind !== 'wrapped' && edge.kind !== 'internal'
    )
  })
  if (edges.length === 0)
    throw targetError(text, 'the edge must be loaded', describeSides(graph, sides, from, to))
  const left = createLabeller(withoutEdges(graph, edges), cwd).chainTo([...to])
  return {
    kind: 'what-if',
    question: text,
    saving: { edges, predictedBytes: savingOf(graph, edges), alternatives: [] },
    ...(left === undefined ? {} : { stillReachedBy: left }),
  }
}

/** The smallest set of edges that keeps `target` out. Throws BYRE_AUDIT_TARGET when it is not loaded. */
export function askCut(
  graph: ModuleGraph,
  target: string,
  everywhere: boolean,
  labeller: Labeller,
): Question {
  const sinks = nodesOf(graph, target)
  if (sinks.length === 0)
    throw targetError(
      target,
      'the package or module must be loaded',
      describeSides(graph, [target], new Set()),
    )
  const cut = cutFor(graph, sinks, { everywhere, maxAlternatives: 16 })
  const chain = labeller.chainTo(sinks) ?? []
  if (cut.kind === 'cut') {
    const byWorth = cut.cuts.toSorted((a, b) => savingOf(graph, b) - savingOf(graph, a))
    const [edges, ...alternatives] = byWorth
    const saving = { edges: edges!, predictedBytes: savingOf(graph, edges!), target, alternatives }
    return { kind: 'cut', question: target, saving, complete: cut.complete }
  }
  const reason =
    cut.kind === 'impossible'
      ? `a chain has no edge of the program's own code: ${chainText(chain)}. Allow edges inside packages to look further`
      : cut.kind === 'too-large'
        ? `at least ${cut.atLeast} edges would have to be cut`
        : 'it is not reached'
  return { kind: 'no-cut', question: target, reason, chain }
}

function describeSides(
  graph: ModuleGraph,
  sides: readonly string[],
  ...found: ReadonlySet<number>[]
): string {
  const missing = sides.filter((_, i) => found[i]?.size === 0)
  if (missing.length === 0) return 'Both modules are loaded, but the first does not import the second.'
  const names = [...new Set(graph.nodes.map((n) => n.packageName).filter((n) => n !== ''))]
  return `'${missing.join("', '")}' is not loaded${didYouMean(missing[0]!, names)}`
}

function targetError(text: string, rule: string, remedy: string): ByreError {
  return new ByreError('BYRE_AUDIT_TARGET', `Cannot look at '${text}': ${rule}, got none such. ${remedy}`)
}
