// The gate: compares the packages an entry loads with the lists of byre.floor.json, then the floor with its budget. The
// rules are those of Firefox's startup tests: a package that is not listed fails, and so does a list entry that is out
// of date.

import { formatMegabytes } from '../base/bytes.ts'
import { chainText, type ChainStep } from './chain.ts'
import type { Budget, FloorEntry, FloorFile, Phase } from './floor-file.ts'
import { emptyFloorEntry, PHASES } from './floor-file.ts'
import type { AuditResult, ModuleReport } from './result.ts'
import { reachable } from '../graph/reach.ts'
import { digraph } from '../graph/digraph.ts'

export type Finding =
  | {
      readonly rule: 'not-allowed'
      readonly packageName: string
      readonly retainedBytes: number
      readonly chain: readonly ChainStep[]
    }
  | {
      readonly rule: 'denied'
      readonly packageName: string
      readonly retainedBytes: number
      readonly chain: readonly ChainStep[]
    }
  | {
      readonly rule: 'too-early'
      readonly packageName: string
      readonly allowedFrom: Phase
      readonly phase: Phase
      readonly chain: readonly ChainStep[]
    }
  | { readonly rule: 'stale-allow'; readonly packageName: string }
  | { readonly rule: 'unknown-deny'; readonly packageName: string }
  | {
      readonly rule: 'budget'
      readonly calibratedBytes: number
      readonly budgetBytes: number
      readonly toleranceBytes: number
    }
  | {
      readonly rule: 'ceiling'
      readonly anonBytes: number
      readonly maxAnonBytes: number
      readonly toleranceBytes: number
    }

export interface Verdict {
  readonly entry: string
  readonly nodeMajor: string
  readonly phase: Phase
  readonly findings: readonly Finding[]
  /** Remarks that do not fail the check: a budget that is missing or far too large. */
  readonly notes: readonly string[]
}

const MIN_TOLERANCE_BYTES = 64 * 1024

/** Checks one entry against its block. Everything an audit sees was imported before the entry finished, so the
 *  default phase is `load`. `exists` says whether a package is installed; a deny entry for a missing package fails. */
export function judgeFloor(
  result: AuditResult,
  name: string,
  entry: FloorEntry,
  heavyBytes: number,
  exists: (packageName: string) => boolean,
  phase: Phase = 'load',
): Verdict {
  const nodeMajor = result.nodeVersion.split('.')[0]!
  const notes: string[] = []
  const findings = [
    ...judgeSet(result, entry, heavyBytes, phase, exists),
    ...judgeBudget(result, entry.budgets[nodeMajor], notes, nodeMajor),
  ]
  return { entry: name, nodeMajor, phase, findings, notes }
}

function judgeSet(
  result: AuditResult,
  entry: FloorEntry,
  heavyBytes: number,
  phase: Phase,
  exists: (packageName: string) => boolean,
): Finding[] {
  const loaded = new Map(result.packages.map((p) => [p.name, p]))
  const allowed = Object.keys(entry.allow)
  const reachedOtherwise = packagesReachedWithout(result, new Set([...allowed, ...entry.may]))
  const findings: Finding[] = []
  for (const { name, retainedBytes, chain } of result.packages) {
    if (entry.deny.includes(name)) findings.push({ rule: 'denied', packageName: name, retainedBytes, chain })
    else if (name in entry.allow) {
      const allowedFrom = entry.allow[name]!
      if (PHASES.indexOf(allowedFrom) > PHASES.indexOf(phase))
        findings.push({ rule: 'too-early', packageName: name, allowedFrom, phase, chain })
    } else if (
      // A dependency loaded only by an allowed package counts as part of it; builtins belong to the runtime.
      retainedBytes >= heavyBytes &&
      !entry.may.includes(name) &&
      !name.startsWith('node:') &&
      reachedOtherwise.has(name)
    )
      findings.push({ rule: 'not-allowed', packageName: name, retainedBytes, chain })
  }
  for (const name of allowed)
    if (!loaded.has(name) && PHASES.indexOf(entry.allow[name]!) <= PHASES.indexOf(phase))
      findings.push({ rule: 'stale-allow', packageName: name })
  for (const name of entry.deny)
    if (!loaded.has(name) && !exists(name)) findings.push({ rule: 'unknown-deny', packageName: name })
  return findings
}

/** Packages that are still reached when the imports of `closed` packages are not followed. */
function packagesReachedWithout(result: AuditResult, closed: ReadonlySet<string>): Set<string> {
  const { modules, edges } = result
  const graph = digraph(
    modules.length,
    edges.map(([from, to]) => [from, to] as const),
  )
  const seen = reachable(graph, 0, (from) => !closed.has(modules[from]!.packageName))
  return new Set(modules.filter((_: ModuleReport, i) => seen[i] === 1).map((m) => m.packageName))
}

function judgeBudget(
  result: AuditResult,
  budget: Budget | undefined,
  notes: string[],
  nodeMajor: string,
): Finding[] {
  if (budget === undefined) {
    notes.push(`no budget is recorded for Node ${nodeMajor}; record one with --update`)
    return []
  }
  const findings: Finding[] = []
  const { calibratedBytes, plain } = result.floor
  const toleranceBytes = Math.max(MIN_TOLERANCE_BYTES, Math.round(budget.calibratedBytes * 0.01))
  const over = calibratedBytes.medianBytes - budget.calibratedBytes
  if (over > toleranceBytes)
    findings.push({
      rule: 'budget',
      calibratedBytes: calibratedBytes.medianBytes,
      budgetBytes: budget.calibratedBytes,
      toleranceBytes,
    })
  else if (over < -toleranceBytes)
    notes.push(
      `the floor is ${kib(-over)} KiB below its budget; record it with --update so that a later increase is reported`,
    )
  if (budget.maxAnonBytes !== undefined) {
    const tolerance = 3 * plain.anonBytes.spreadBytes
    if (plain.anonBytes.medianBytes > budget.maxAnonBytes + tolerance)
      findings.push({
        rule: 'ceiling',
        anonBytes: plain.anonBytes.medianBytes,
        maxAnonBytes: budget.maxAnonBytes,
        toleranceBytes: tolerance,
      })
  }
  return findings
}

/** The finding as a sentence, followed by the remedy. */
export function describeFinding(finding: Finding): string {
  switch (finding.rule) {
    case 'not-allowed':
      return `${finding.packageName} (${formatMegabytes(finding.retainedBytes)}) is loaded eagerly but is not on the allow list: ${chainText(finding.chain)}. Import it where it is used, or allow it with --update.`
    case 'denied':
      return `${finding.packageName} (${formatMegabytes(finding.retainedBytes)}) is loaded eagerly but denied: ${chainText(finding.chain)}. Find the imports to change with byre audit --cut ${finding.packageName}.`
    case 'too-early':
      return `${finding.packageName} is allowed from phase '${finding.allowedFrom}' on but is loaded in '${finding.phase}': ${chainText(finding.chain)}. Load it later.`
    case 'stale-allow':
      return `${finding.packageName} is on the allow list but is no longer loaded. Remove it from the list, so that a new import of it is reported; use 'may' if it is loaded only sometimes.`
    case 'unknown-deny':
      return `${finding.packageName} is denied but is not installed. Correct the name, or remove it from the list.`
    case 'budget':
      return `the calibrated floor is ${formatMegabytes(finding.calibratedBytes)}, ${kib(finding.calibratedBytes - finding.budgetBytes)} KiB above its budget of ${formatMegabytes(finding.budgetBytes)} (tolerance ${kib(finding.toleranceBytes)} KiB). See what grew with --diff, or record the new floor with --update.`
    case 'ceiling':
      return `private memory is ${formatMegabytes(finding.anonBytes)}, above the limit of ${formatMegabytes(finding.maxAnonBytes)} (tolerance ${formatMegabytes(finding.toleranceBytes)}).`
  }
}

/** Updates the block of an entry from an audit: adds heavy packages to the allow list, removes stale ones and
 *  records the budget for this Node major version. */
export function updateFloor(file: FloorFile, name: string, result: AuditResult): FloorFile {
  const before = file.entries[name] ?? emptyFloorEntry()
  const nodeMajor = result.nodeVersion.split('.')[0]!
  const loaded = new Set(result.packages.map((p) => p.name))
  const kept = Object.entries(before.allow).filter(([p, phase]) => loaded.has(p) || phase !== 'load')
  let allow: Record<string, Phase> = Object.fromEntries(kept)
  // The largest first: a package loaded only by an allowed one needs no list entry.
  for (;;) {
    const entry = { ...before, allow }
    const next = judgeSet(result, entry, file.heavyBytes, 'load', () => true).find(
      (f) => f.rule === 'not-allowed',
    )
    if (next?.rule !== 'not-allowed') break
    allow = { ...allow, [next.packageName]: 'load' }
  }
  const budget = { ...before.budgets[nodeMajor], calibratedBytes: result.floor.calibratedBytes.medianBytes }
  const budgets = { ...before.budgets, [nodeMajor]: budget }
  return { ...file, entries: { ...file.entries, [name]: { ...before, allow, budgets } } }
}

function kib(bytes: number): number {
  return Math.round(bytes / 1024)
}
