// The audit, stage by stage: check the instruments on this runtime, run the program plain, calibrated and probed, rank
// the imports that could be made lazy, and prove the best proposals by running without them.

import { join } from 'node:path'
import { ByreError } from '../base/errors.ts'
import { readCached, writeCached } from './cache.ts'
import { createLabeller, type Labeller } from './chain.ts'
import type { ChildResult, EntryJob } from './child/job.ts'
import { composeResult, composeSaving, type Measured } from './compose.ts'
import { cutEdges, gainedBytes, judgeProof } from './confirm.ts'
import type { ModuleGraph } from './module-graph.ts'
import { resolveAuditOptions, type AuditOptions, type ResolvedAuditOptions } from './options.ts'
import { resolveCut, resolveWhatIf, type Question } from './questions.ts'
import type { Answer, AuditResult, Proof } from './result.ts'
import { distinctSavings, rankSavings, type Saving } from './savings.ts'
import { hasPassed, judgeSelfTest, recordPassed, selfTestError, writeSelfTest } from './self-test.ts'
import { openSession, type Probed, type Session } from './session.ts'
import { witnessUsage } from './usage.ts'

/** Audits the entries, loaded one after the other in one process. When aborted after the probe it resolves with a
 *  partial result; when aborted earlier it rejects with the signal's reason. Rejects with BYRE_AUDIT_ENTRY when the
 *  program throws while loading, BYRE_AUDIT_RUNTIME when the self-test fails on this runtime, BYRE_AUDIT_TARGET when
 *  a question names a module or import that is not loaded. */
export async function audit(given: AuditOptions): Promise<AuditResult> {
  const options = resolveAuditOptions(given)
  const cached = await readCached(options)
  if (cached !== undefined) return cached
  const startedAt = performance.now()
  const session = openSession(options)
  try {
    const empty = await session.plain([])
    await checkRuntime(session, options, empty.nodeVersion)
    const measured = await measure(session, options, empty)
    const result = await buildResult(session, options, measured, startedAt)
    if (result.partial === undefined) await writeCached(options, result)
    return result
  } finally {
    session.close()
  }
}

/** Runs the self-test once per node binary, byre version and cache folder. */
async function checkRuntime(
  session: Session,
  options: ResolvedAuditOptions,
  nodeVersion: string,
): Promise<void> {
  const { cacheFolder, nodePath } = options
  if (cacheFolder !== false && hasPassed(cacheFolder, nodePath)) return
  const wrong = await selfTest(session, nodeVersion)
  if (wrong.length > 0) throw selfTestError(nodeVersion, wrong)
  if (cacheFolder !== false) recordPassed(cacheFolder, nodePath)
}

/** The errors of the instruments on this runtime, as sentences; empty when the self-test passes. */
export async function selfTest(session: Session, nodeVersion: string): Promise<string[]> {
  const entry: EntryJob = { url: writeSelfTest(join(session.folder, 'self-test')), how: 'import' }
  const tasks = [
    async () => ({ bare: await session.bare([entry]), probed: undefined }),
    async () => ({ bare: undefined, probed: await session.probed([entry], nodeVersion) }),
  ]
  const [first, second] = await session.all<{
    bare: ChildResult | undefined
    probed: Awaited<ReturnType<Session['probed']>> | undefined
  }>('self-test', tasks, 2)
  const error = first!.bare!.error ?? second!.probed!.result.error
  if (error !== undefined) return [`the test program threw: ${error}`]
  return judgeSelfTest(second!.probed!.graph, first!.bare!, second!.probed!.result)
}

async function measure(
  session: Session,
  options: ResolvedAuditOptions,
  empty: ChildResult,
): Promise<Measured> {
  const { entries } = options
  const plainRuns = (): Promise<ChildResult[]> =>
    session.all(
      'plain',
      Array.from({ length: Math.max(1, options.runs) }, () => () => session.plain(entries)),
      1,
    )
  const calibratedRuns = (): Promise<[ChildResult[], Probed[]]> =>
    Promise.all([
      session.all('bare', [() => session.bare(entries), () => session.bare(entries)], 1),
      session.all('probe', [() => session.probed(entries, empty.nodeVersion)], 1),
    ])
  // Plain runs are sequential and alone: their memory depends on when V8 collects, which depends on the load. A single
  // run has no spread and is only indicative, so it may run in parallel.
  const together = options.runs <= 1 ? Promise.all([plainRuns(), calibratedRuns()]) : undefined
  const [plain, runs] = together === undefined ? [await plainRuns(), undefined] : await together
  const threw = plain.find((r) => r.error !== undefined)
  if (threw !== undefined) throw entryError(options, threw.error!)
  const [bareRuns, [probed]] = runs ?? (await calibratedRuns())
  const failed = [...bareRuns, probed!.result].find((r) => r.error !== undefined)
  if (failed !== undefined) throw entryError(options, failed.error!)
  return { plain, empty, bare: bareRuns, probed: probed! }
}

async function buildResult(
  session: Session,
  options: ResolvedAuditOptions,
  measured: Measured,
  startedAt: number,
): Promise<AuditResult> {
  const { graph } = measured.probed
  const labeller = createLabeller(graph, options.cwd)
  const ranked = distinctSavings(graph, rankSavings(graph, options))
  const questions: Question[] = [
    ...options.whatIf.map((text) => resolveWhatIf(graph, text, options.cwd)),
    ...options.cut.map((target) => resolveCut(graph, target, options.everywhere, labeller)),
  ]
  const asked = questions.map((q) => (q.kind === 'no-cut' ? undefined : q.saving))
  const wanted = [...asked.filter((s) => s !== undefined), ...ranked.slice(0, options.proofs)]
  const { proofs, partial } = await proveAll(session, options, measured, wanted)
  const usage =
    partial === undefined && (options.proofs > 0 || options.until !== 'loaded')
      ? await witnessUsage(session, options, graph)
      : undefined
  const proofOf = (saving: Saving): Proof => proofs.get(saving) ?? { kind: 'not-run' }
  return composeResult(measured, options, {
    savings: ranked.slice(0, 50).map((s) => composeSaving(graph, labeller, s, proofOf(s))),
    answers: questions.map((q) => answer(q, graph, labeller, proofOf)),
    warnings: warningsOf(measured),
    instrument: {
      bareMs: Math.round(measured.bare[0]!.importMs),
      probedMs: Math.round(measured.probed.ms),
      probedBytes: gainedBytes(measured.probed.result) - gainedBytes(measured.bare[0]!),
      collections: measured.probed.result.collections ?? 0,
      collectionsMs: Math.round(measured.probed.result.collectionsMs ?? 0),
      children: session.children,
      totalMs: Math.round(performance.now() - startedAt),
    },
    ...(usage === undefined ? {} : { usage }),
    ...(partial === undefined ? {} : { partial }),
  })
}

async function proveAll(
  session: Session,
  options: ResolvedAuditOptions,
  measured: Measured,
  savings: readonly Saving[],
): Promise<{ proofs: Map<Saving, Proof>; partial?: string }> {
  const proofs = new Map<Saving, Proof>()
  const { graph, result } = measured.probed
  const uncut = measured.bare.map(gainedBytes)
  const prove = async (saving: Saving): Promise<void> => {
    const cuts = cutEdges(graph, saving.edges, result.exportNames ?? {})
    const runs: ChildResult[] = []
    for (let i = 0; i < options.proofRuns; i++) runs.push(await session.bare(options.entries, cuts))
    proofs.set(saving, judgeProof(uncut, runs, cuts))
  }
  try {
    await session.all(
      'prove',
      savings.map((s) => () => proveOrFail(s, prove, proofs)),
      options.parallel,
    )
    return { proofs }
  } catch (error) {
    if (!options.signal.aborted) throw error
    return { proofs, partial: `interrupted after ${proofs.size} of ${savings.length} proofs` }
  }
}

/** A program that crashes with an edge stubbed fails that proof, not the audit. */
async function proveOrFail(
  saving: Saving,
  prove: (saving: Saving) => Promise<void>,
  proofs: Map<Saving, Proof>,
): Promise<void> {
  try {
    await prove(saving)
  } catch (error) {
    if (!(error instanceof ByreError)) throw error
    proofs.set(saving, { kind: 'failed', reason: error.message })
  }
}

function answer(
  question: Question,
  graph: ModuleGraph,
  labeller: Labeller,
  proofOf: (saving: Saving) => Proof,
): Answer {
  if (question.kind === 'no-cut') return question
  return { ...question, saving: composeSaving(graph, labeller, question.saving, proofOf(question.saving)) }
}

function warningsOf({ plain, bare, probed }: Measured): string[] {
  const { graph } = probed
  const warnings: string[] = []
  const exited = plain.find((r) => r.exitedWith !== undefined)
  if (exited !== undefined)
    warnings.push(
      `the program called process.exit(${exited.exitedWith}) while loading: the floor covers the modules loaded until then`,
    )
  if (graph.overlapping.length > 0)
    warnings.push(
      `${graph.overlapping.length} modules were in a top-level await at the same time; their self figures are mixed with each other: ${graph.overlapping.slice(0, 5).join(', ')}`,
    )
  const unseen = graph.edges.filter(
    (e) => e.kind === 'unseen' && graph.nodes[e.to]!.kind !== 'builtin',
  ).length
  if (unseen > 0)
    warnings.push(
      `${unseen} modules were loaded in a way that no hook sees; they are shown as imports of the program`,
    )
  const seen = [...plain, ...bare].find((r) => r.nodeOptions !== undefined)
  if (seen !== undefined) warnings.push(`the children saw NODE_OPTIONS=${seen.nodeOptions}`)
  return warnings
}

function entryError(options: ResolvedAuditOptions, error: string): ByreError {
  const names = options.entries.map((e) => e.name).join(', ')
  return new ByreError(
    'BYRE_AUDIT_ENTRY',
    `Cannot audit '${names}': the entry must load without an error, got: ${error}. Run it with plain node first; set the environment it needs with --env.`,
  )
}
