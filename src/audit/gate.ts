// The gate: which packages an entry loads against the lists of byre.floor.json, and then megabytes. The rules are those
// of Firefox's startup tests: what is not listed fails, and so does a list that no longer says the truth.

import { chainText, type ChainStep } from './chain.ts'
import type { Budget, FloorEntry, FloorFile, Phase } from './floor-file.ts'
import { PHASES } from './floor-file.ts'
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
  /** What is no failure but should be known: a budget that is missing or far too large. */
  readonly notes: readonly string[]
}

export interface GateOptions {
  /** What the audit saw: everything imported before the entry was done is phase `load`. @default 'load' */
  readonly phase?: Phase
  /** Whether a package can be found at all; a deny entry for one that cannot fails. */
  readonly exists: (packageName: string) => boolean
}

const MIN_TOLERANCE_BYTES = 64 * 1024

/** Judges one entry. Pure. */
export function judgeFloor(
  result: AuditResult,
  name: string,
  entry: FloorEntry,
  heavyBytes: number,
  options: GateOptions,
): Verdict {
  const phase = options.phase ?? 'load'
  const nodeMajor = result.nodeVersion.split('.')[0]!
  const notes: string[] = []
  const findings = [
    ...judgeSet(result, entry, heavyBytes, phase, options),
    ...judgeBudget(result, entry.budgets[nodeMajor], notes, nodeMajor),
  ]
  return { entry: name, nodeMajor, phase, findings, notes }
}

function judgeSet(
  result: AuditResult,
  entry: FloorEntry,
  heavyBytes: number,
  phase: Phase,
  { exists }: GateOptions,
): Finding[] {
  const loaded = new Map(result.packages.map((p) => [p.name, p]))
  const allowed = Object.keys(entry.allow)
  const onItsOwn = packagesReachedWithout(result, new Set([...allowed, ...entry.may]))
  const findings: Finding[] = []
  for (const { name, retainedBytes, chain } of result.packages) {
    if (entry.deny.includes(name)) findings.push({ rule: 'denied', packageName: name, retainedBytes, chain })
    else if (name in entry.allow) {
      const allowedFrom = entry.allow[name]!
      if (PHASES.indexOf(allowedFrom) > PHASES.indexOf(phase))
        findings.push({ rule: 'too-early', packageName: name, allowedFrom, phase, chain })
    } else if (
      // A dependency that comes only with an allowed package is that package's; builtins are the runtime's.
      retainedBytes >= heavyBytes &&
      !entry.may.includes(name) &&
      !name.startsWith('node:') &&
      onItsOwn.has(name)
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

/** Packages that are still reached when nothing behind `closed` packages is looked at. */
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
    notes.push(`no budget is recorded for Node ${nodeMajor}; record it with --update`)
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
      `the floor is ${kib(-over)} KiB below its budget; record it with --update so that it stays there`,
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

/** One sentence of fact and the remedy. */
export function describeFinding(finding: Finding): string {
  switch (finding.rule) {
    case 'not-allowed':
      return `${finding.packageName} (${mib(finding.retainedBytes)}) is loaded eagerly and not on the allow list: ${chainText(finding.chain)}. Import it where it is used, or allow it with --update.`
    case 'denied':
      return `${finding.packageName} (${mib(finding.retainedBytes)}) is loaded eagerly but denied: ${chainText(finding.chain)}. Cut it: byre audit --cut ${finding.packageName}.`
    case 'too-early':
      return `${finding.packageName} is allowed from '${finding.allowedFrom}' on but loaded in '${finding.phase}': ${chainText(finding.chain)}. Load it later.`
    case 'stale-allow':
      return `${finding.packageName} is on the allow list but no longer loaded. Take it off, so that it cannot come back unseen; use 'may' if it varies.`
    case 'unknown-deny':
      return `${finding.packageName} is denied but does not exist. Correct the name, or take it off.`
    case 'budget':
      return `the calibrated floor is ${mib(finding.calibratedBytes)}, ${kib(finding.calibratedBytes - finding.budgetBytes)} KiB over its budget of ${mib(finding.budgetBytes)} (tolerance ${kib(finding.toleranceBytes)} KiB). See what grew with --diff, or record it with --update.`
    case 'ceiling':
      return `private memory is ${mib(finding.anonBytes)}, over the ceiling of ${mib(finding.maxAnonBytes)} (tolerance ${mib(finding.toleranceBytes)}).`
  }
}

/** The block with what the audit saw: heavy packages allowed, stale ones gone, the budget of this node recorded. */
export function updateFloor(file: FloorFile, name: string, result: AuditResult): FloorFile {
  const before = file.entries[name] ?? { allow: {}, may: [], deny: [], budgets: {} }
  const nodeMajor = result.nodeVersion.split('.')[0]!
  const loaded = new Set(result.packages.map((p) => p.name))
  const kept = Object.entries(before.allow).filter(([p, phase]) => loaded.has(p) || phase !== 'load')
  let allow: Record<string, Phase> = Object.fromEntries(kept)
  // The largest first: what comes only with an allowed package needs no entry of its own.
  for (;;) {
    const entry = { ...before, allow }
    const next = judgeSet(result, entry, file.heavyBytes, 'load', { exists: () => true }).find(
      (f) => f.rule === 'not-allowed',
    )
    if (next?.rule !== 'not-allowed') break
    allow = { ...allow, [next.packageName]: 'load' }
  }
  const budget = { ...before.budgets[nodeMajor], calibratedBytes: result.floor.calibratedBytes.medianBytes }
  const budgets = { ...before.budgets, [nodeMajor]: budget }
  return { ...file, entries: { ...file.entries, [name]: { ...before, allow, budgets } } }
}

function mib(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function kib(bytes: number): number {
  return Math.round(bytes / 1024)
}
