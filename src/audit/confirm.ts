// Proves a saving: the program runs again with the edges of a proposal replaced by stubs, and the memory it then holds
// less is what the cut saves. The probe only ranks proposals; only a proven figure is called a saving.

import { summarize } from '../measure/stats.ts'
import type { ChildResult, CutEdge } from './child/job.ts'
import type { ImportEdge, ModuleGraph } from './module-graph.ts'
import type { Proof } from './result.ts'

/** Used heap + external memory a calibrated child gained by loading its entries. */
export function gainedBytes(result: ChildResult): number {
  const after = result.afterFullGc ?? result.loaded
  const of = (s: { usedHeapBytes: number; externalBytes: number }): number =>
    s.usedHeapBytes + s.externalBytes
  return of(after) - of(result.before)
}

/** The edges of a proposal in the form the child needs. Cutting the edge to a wrapper cuts the import of its module. */
export function cutEdges(
  graph: ModuleGraph,
  edges: readonly number[],
  exportNames: Readonly<Record<string, readonly string[]>>,
): CutEdge[] {
  return edges.map((e) => {
    const edge: ImportEdge = graph.edges[e]!
    const [from, to] = [graph.nodes[edge.from]!.url, graph.nodes[edge.to]!.url]
    return { from, to, exportNames: exportNames[to] ?? [] }
  })
}

/** The verdict over all runs with the cut, compared with the runs without it. A saving smaller than the spread of
 *  the runs fails with that reason. */
export function judgeProof(
  uncut: readonly number[],
  cutRuns: readonly ChildResult[],
  cuts: readonly CutEdge[],
): Proof {
  const threw = cutRuns.find((r) => r.error !== undefined)
  if (threw !== undefined)
    return { kind: 'failed', reason: `the program threw with the edges stubbed: ${firstLine(threw.error!)}` }
  const missed = cuts.filter((c) => !cutRuns.every((r) => r.cutsApplied.includes(`${c.from}\n${c.to}`)))
  if (missed.length > 0)
    return { kind: 'failed', reason: `${missed.length} of ${cuts.length} edges were not reached in the run` }
  const base = summarize(uncut)
  const saved = summarize(cutRuns.map((r) => base.median - gainedBytes(r)))
  const spreadBytes = saved.max - saved.min + (base.max - base.min)
  if (spreadBytes > Math.abs(saved.median) && spreadBytes > 65_536)
    return {
      kind: 'failed',
      reason: `the runs differ by ${Math.round(spreadBytes / 1024)} KiB, more than the saving itself`,
    }
  return {
    kind: 'proven',
    savedBytes: Math.round(saved.median),
    spreadBytes: Math.round(spreadBytes),
    runs: saved.n,
  }
}

function firstLine(text: string): string {
  return (text.split('\n').find((line) => /\w*Error\b/.test(line)) ?? text.split('\n')[0] ?? '').slice(0, 300)
}
