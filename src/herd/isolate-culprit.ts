// What the next start does about the worker that took the last process down: the siblings come up, the culprit does not.

import { uptime } from 'node:os'
import { join } from 'node:path'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { StackOwners } from '../ownership/stack.ts'
import type { Crumb } from './breadcrumb.ts'
import {
  describeUnit,
  explainLastRun,
  stallNoteFile,
  takeFatalReport,
  takeStallNote,
  takeUnitResult,
  unitNoteFile,
  verdictOfUnit,
} from './last-run.ts'
import type { ExitRecord } from './status.ts'

export interface CulpritDeps {
  readonly stateFolder: string
  /** As in the names of the files: the group, `_all`, or `run-<worker>`. */
  readonly label: string
  readonly log: Logger
  readonly owners: () => StackOwners
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Gives it a process of its own, if its config allows that (onLimit or onStall: 'eject'). */
  readonly eject: (spec: ResolvedWorker, why: string, stalled: boolean) => boolean
  readonly runnerOf: (worker: string) => Isolable | undefined
}

interface Isolable {
  readonly record: { inherited(exit: ExitRecord): void }
  isolate(why: string): void
  readonly spec: ResolvedWorker
}

/** Names and isolates whom the note and V8's report of the last process prove; a mere suspect is only named. */
export function isolateCulprit(crumb: Crumb | undefined, deps: CulpritDeps): void {
  const report = takeFatalReport(join(deps.stateFolder, `${deps.label}.report.json`))
  const bootedAt = deps.now - uptime() * 1000
  const unit = takeUnitResult(unitNoteFile(deps.stateFolder, deps.label))
  const stall = takeStallNote(stallNoteFile(deps.stateFolder, deps.label))
  const last = explainLastRun(crumb, report, deps.owners, {
    now: deps.now,
    bootedAt,
    unit,
    stall,
    watched: (worker) => deps.runnerOf(worker)?.spec.stall.detect === true,
  })
  const runner = last === undefined ? undefined : deps.runnerOf(last.worker)
  if (last !== undefined && runner === undefined) {
    // a shared resource, or a worker that the config has no more: nobody to quarantine
    const facts = { event: 'last-run', worker: last.worker, certain: last.certain, ...last.exit }
    deps.log.error(facts, `the last process ended inside ${last.worker}, which is no worker here`)
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
    deps.log.warn(facts, 'the last process died inside a worker, perhaps by chance')
    return
  }
  deps.log.error(facts, 'the last process was taken down by a worker')
  runner.record.inherited(last.exit)
  if (deps.eject(runner.spec, last.exit.reason, last.exit.verdict === 'stalled')) return
  runner.isolate(`${last.exit.reason}. ${remedy(last.worker, deps.label)}`)
}

/** Where it was it would do it again. `byre run` hosts one worker, which is alone already. */
function remedy(worker: string, label: string): string {
  const start = `byre start ${worker}`
  return label === `run-${worker}`
    ? `Start it with: ${start}`
    : `Alone it harms nobody else: byre move ${worker} --to process, then ${start}`
}
