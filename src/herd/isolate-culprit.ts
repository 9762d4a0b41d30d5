// Isolates the worker that ended the last process (law 1): the siblings start, the culprit is quarantined or ejected.

import { uptime } from 'node:os'
import { join } from 'node:path'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import { needsImports } from '../ownership/stack.ts'
import type { StackOwners } from '../ownership/stack.ts'
import type { Crumb } from './breadcrumb.ts'
import {
  describeUnit,
  explainLastRun,
  stallNoteFile,
  takeFatalReport,
  takeStallNote,
  takeUnitResult,
  throughLinks,
  unitNoteFile,
  verdictOfUnit,
} from './last-run.ts'
import type { ExitRecord } from './status.ts'

export interface CulpritDeps {
  readonly stateFolder: string
  /** The group, `_all`, or `run-<worker>`; part of the file names. */
  readonly label: string
  readonly log: Logger
  readonly codeOwners: { get(): StackOwners; read(): Promise<void> }
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Moves it to placement `process` if its config says so (onLimit or onStall: 'eject'). */
  readonly eject: (spec: ResolvedWorker, why: string, stalled: boolean) => boolean
  readonly runnerOf: (worker: string) => Isolable | undefined
}

interface Isolable {
  readonly record: { inherited(exit: ExitRecord): void }
  isolate(why: string): void
  readonly spec: ResolvedWorker
}

/** Isolates the worker that the breadcrumb and V8's report of the last process prove to be the cause; a suspect is only logged. */
export async function isolateCulprit(crumb: Crumb | undefined, deps: CulpritDeps): Promise<void> {
  const report = takeFatalReport(join(deps.stateFolder, `${deps.label}.report.json`))
  const bootedAt = deps.now - uptime() * 1000
  const unit = takeUnitResult(unitNoteFile(deps.stateFolder, deps.label))
  const stall = takeStallNote(stallNoteFile(deps.stateFolder, deps.label))
  // This process has loaded nothing yet; the last one may have loaded any worker.
  const owners = (): StackOwners => ({ ...deps.codeOwners.get(), loaded: undefined })
  // The only start that waits for it: the code of one worker may have been called by another one.
  if (report !== undefined && needsImports(report.stack, throughLinks(owners()))) await deps.codeOwners.read()
  const last = explainLastRun(crumb, report, owners, {
    now: deps.now,
    bootedAt,
    unit,
    stall,
    watched: (worker) => deps.runnerOf(worker)?.spec.stall.detect === true,
  })
  const runner = last === undefined ? undefined : deps.runnerOf(last.worker)
  if (last !== undefined && runner === undefined) {
    // a shared resource, or a worker that the config no longer has: nothing to quarantine
    const facts = { event: 'last-run', worker: last.worker, certain: last.certain, ...last.exit }
    deps.log.error(
      facts,
      `the last process ended in the code of ${last.worker}, which is not a worker of this herd`,
    )
    return
  }
  if (last === undefined || runner === undefined) {
    if (unit === undefined) return
    const verdict = verdictOfUnit(unit)
    const text = `last run: ${describeUnit(unit)}; no worker is proven to be the cause`
    deps.log.error({ event: 'last-run', verdict, evidence: { unit } }, text)
    return
  }
  const facts = { event: 'last-run', worker: last.worker, certain: last.certain, ...last.exit }
  if (!last.certain) {
    deps.log.warn(facts, 'the last process ended in the code of a worker, possibly by chance')
    return
  }
  deps.log.error(facts, 'a worker ended the last process')
  runner.record.inherited(last.exit)
  if (deps.eject(runner.spec, last.exit.reason, last.exit.verdict === 'stalled')) return
  runner.isolate(`${last.exit.reason}. ${remedy(last.worker, deps.label)}`)
}

/** In the same placement it would end the process again. Under `byre run` the worker is alone already. */
function remedy(worker: string, label: string): string {
  const start = `byre start ${worker}`
  return label === `run-${worker}`
    ? `Start it with: ${start}`
    : `In a separate process it affects no sibling: byre move ${worker} --to process, then ${start}`
}
