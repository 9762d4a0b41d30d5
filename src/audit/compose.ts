// Builds the result of an audit from the measured runs, the module graph and the proofs.

import { dominators, retained } from '../graph/dominators.ts'
import { summarize } from '../measure/stats.ts'
import { createLabeller, type Labeller } from './chain.ts'
import type { ChildResult } from './child/job.ts'
import { gainedBytes } from './confirm.ts'
import type { ModuleGraph } from './module-graph.ts'
import type { ResolvedAuditOptions } from './options.ts'
import type {
  AuditResult,
  EdgeReport,
  Figure,
  Floor,
  ModuleReport,
  PackageReport,
  Parts,
  Proof,
  SavingReport,
} from './result.ts'
import { nodesOf, packageCosts, type Saving } from './savings.ts'

export interface Measured {
  readonly plain: readonly ChildResult[]
  readonly empty: ChildResult
  readonly bare: readonly ChildResult[]
  readonly probed: { readonly result: ChildResult; readonly graph: ModuleGraph; readonly ms: number }
}

function figureOf(values: readonly number[]): Figure {
  const { median, min, max, n } = summarize(values)
  return { medianBytes: Math.round(median), spreadBytes: Math.round(max - min), runs: n }
}

function composeFloor({ plain, empty, bare }: Measured): Floor {
  const of = (pick: (r: ChildResult) => number): Figure => figureOf(plain.map(pick))
  return {
    plain: {
      anonBytes: of((r) => r.loaded.anonBytes),
      ussBytes: of((r) => r.loaded.ussBytes),
      rssBytes: of((r) => r.loaded.rssBytes),
      pssBytes: of((r) => r.loaded.pssBytes),
    },
    runtimeAnonBytes: empty.loaded.anonBytes,
    calibratedBytes: figureOf(bare.map(gainedBytes)),
    importMs: Math.round(summarize(plain.map((r) => r.importMs)).median * 10) / 10,
  }
}

/** All figures are from the bare calibrated runs; each is a difference of two measured figures. */
function composeParts({ bare, probed }: Measured): Parts {
  const floor = summarize(bare.map(gainedBytes)).median
  const modulesBytes = probed.graph.nodes.reduce((sum, n) => sum + n.selfBytes, 0)
  const { loaderBytes } = probed.graph
  const named = modulesBytes + loaderBytes
  const run = bare[0]!
  const { before, afterGc = run.loaded, afterFullGc = run.loaded } = run
  const slack = (s: typeof before): number => s.physicalHeapBytes - s.usedHeapBytes
  return {
    modulesBytes: Math.round(modulesBytes),
    loaderBytes: Math.round(loaderBytes),
    unnamedBytes: Math.round(floor - named),
    namedShare: floor === 0 ? 1 : 1 - Math.abs(floor - named) / Math.abs(floor),
    heapSlackBytes: slack(afterFullGc) - slack(before),
    pagePoolBytes:
      afterGc.anonBytes - afterFullGc.anonBytes - (afterGc.physicalHeapBytes - afterFullGc.physicalHeapBytes),
    nativeBytes: afterFullGc.brkBytes - before.brkBytes,
  }
}

function composeModules(graph: ModuleGraph, labeller: Labeller): ModuleReport[] {
  const tree = dominators(graph.graph, 0)
  const bytes = retained(
    tree,
    graph.nodes.map((n) => n.selfBytes),
  )
  return graph.nodes.map((node) => ({
    label: labeller.label(node),
    url: node.url,
    kind: node.kind,
    packageName: node.packageName,
    selfBytes: Math.round(node.selfBytes),
    retainedBytes: Math.round(bytes[node.id]!),
    dominator: node.id === 0 ? -1 : tree.idom[node.id]!,
  }))
}

function composePackages(graph: ModuleGraph, labeller: Labeller, heavyBytes: number): PackageReport[] {
  return packageCosts(graph).map((cost) => ({
    ...cost,
    selfBytes: Math.round(cost.selfBytes),
    retainedBytes: Math.round(cost.retainedBytes),
    chain: cost.retainedBytes >= heavyBytes / 4 ? (labeller.chainTo(nodesOf(graph, cost.name)) ?? []) : [],
  }))
}

function composeEdge(graph: ModuleGraph, labeller: Labeller, e: number): EdgeReport {
  const edge = graph.edges[e]!
  const line = labeller.lineOf(edge)
  return {
    from: labeller.label(graph.nodes[edge.from]!),
    to: labeller.label(graph.nodes[edge.to]!),
    ...(line === undefined ? {} : { line }),
    ...(edge.specifier === undefined ? {} : { specifier: edge.specifier }),
  }
}

export function composeSaving(
  graph: ModuleGraph,
  labeller: Labeller,
  saving: Saving,
  proof: Proof,
): SavingReport {
  const edges = (set: readonly number[]): EdgeReport[] => set.map((e) => composeEdge(graph, labeller, e))
  return {
    edges: edges(saving.edges),
    predictedBytes: Math.round(saving.predictedBytes),
    ...(saving.target === undefined ? {} : { target: saving.target }),
    alternatives: saving.alternatives.map(edges),
    proof,
  }
}

export function composeResult(
  measured: Measured,
  options: ResolvedAuditOptions,
  rest: Pick<AuditResult, 'savings' | 'answers' | 'warnings' | 'instrument' | 'partial' | 'usage'>,
): AuditResult {
  const { graph } = measured.probed
  const labeller = createLabeller(graph, options.cwd)
  return {
    version: 1,
    entries: options.entries,
    nodeVersion: measured.probed.result.nodeVersion,
    cwd: options.cwd,
    takenAt: new Date().toISOString(),
    floor: composeFloor(measured),
    parts: composeParts(measured),
    packages: composePackages(graph, labeller, options.heavyBytes),
    modules: composeModules(graph, labeller),
    edges: graph.edges.map((e) => [e.from, e.to, e.kind] as const),
    ...rest,
  }
}
