// Resolves the questions of `--what-if 'a.js -> b.js'` and `--cut typeorm` to edges of the graph, with the predicted
// saving.

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

/** The edges that `a.js -> b.js` means; each side is the end of a path or a package name. Throws BYRE_AUDIT_TARGET
 *  when there is no such edge in the graph. */
export function resolveWhatIf(graph: ModuleGraph, text: string, cwd: string): Question {
  const sides = text.split(/\s*->\s*/)
  if (sides.length !== 2 || sides.includes(''))
    throw targetError(
      text,
      "an import must have the form 'a.js -> b.js'",
      'Write the importing module first.',
    )
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
    throw targetError(text, 'the program has no such import', describeSides(graph, sides, from, to))
  const left = createLabeller(withoutEdges(graph, edges), cwd).chainTo([...to])
  return {
    kind: 'what-if',
    question: text,
    saving: { edges, predictedBytes: savingOf(graph, edges), alternatives: [] },
    ...(left === undefined ? {} : { stillReachedBy: left }),
  }
}

/** The smallest set of edges whose removal keeps `target` from being loaded. Throws BYRE_AUDIT_TARGET when it is not
 *  loaded. */
export function resolveCut(
  graph: ModuleGraph,
  target: string,
  everywhere: boolean,
  labeller: Labeller,
): Question {
  const sinks = nodesOf(graph, target)
  if (sinks.length === 0)
    throw targetError(
      target,
      'the program loads no such package or module',
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
      ? `a chain has no import in first-party code: ${chainText(chain)}. Allow cuts inside packages with --everywhere`
      : cut.kind === 'too-large'
        ? `at least ${cut.atLeast} imports would have to be cut`
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
  return new ByreError('BYRE_AUDIT_TARGET', `Cannot evaluate '${text}': ${rule}. ${remedy}`)
}
