// How the last process of this group ended, read from its breadcrumb and V8's fatal report, and what the next start
// does about it (law 1): the siblings come up, the culprit does not.

import { readFileSync, realpathSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isRecord } from '../base/check.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ownerOfStack } from '../ownership/stack.ts'
import type { StackOwners } from '../ownership/stack.ts'
import type { Crumb } from './breadcrumb.ts'
import type { ExitRecord, StallStatus } from './status.ts'

/** Waiting for memory less than this is no reason to be told. */
const WAITED_PERCENT = 10

/** A process that died inside a worker this long after entering it was held by it, not hit at random. */
const HELD_MS = 1000
/** When the unit's watchdog ended it, this much is enough: a loop that missed its ping was held for half of WatchdogSec=. */
const HELD_AT_WATCHDOG_MS = 250

export interface LastRun {
  readonly worker: string
  readonly exit: ExitRecord
  /** True: proven, isolate it now. False: it was inside when the process died, which kill -9 explains as well. */
  readonly certain: boolean
}

export interface FatalReport {
  readonly event: string
  readonly stack: string
  readonly heapUsedBytes?: number
  readonly heapLimitBytes?: number
}

/** What units/byre-stopped noted when the unit's main process had ended; a clean end leaves no note. */
export interface UnitResult {
  /** systemd's $SERVICE_RESULT: 'signal', 'watchdog', 'oom-kill', ... */
  readonly result: string
  /** $EXIT_STATUS: a number or the name of a signal. */
  readonly exitStatus: string
  /** Processes of the unit the kernel killed for want of memory. */
  readonly oomKills: number
  /** Of the last 10 s, in which all of the unit waited for memory; absent on cgroup v1. */
  readonly waitedPercent?: number
  /** Ms since the epoch: the end of the process, as near as systemd saw it. */
  readonly at: number
}

/** Where units/byre-stopped notes it. The templates in units/ do not know the herd of their config: they note it beside the
 *  folders of herds, and say so with $BYRE_STOPPED. */
export function unitNoteFile(stateFolder: string, label: string): string {
  const folder = process.env['BYRE_STOPPED'] === '-' ? join(dirname(stateFolder), '-') : stateFolder
  return join(folder, `${label}.unit.json`)
}

/** Reads and removes the note; undefined when there is none that can be read. */
export function takeUnitResult(path: string): UnitResult | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    rmSync(path, { force: true })
    const { result, exitStatus, oomKills, waitedPercent, at } = isRecord(parsed) ? parsed : {}
    if (typeof result !== 'string' || typeof oomKills !== 'number' || typeof at !== 'number') return undefined
    const waited = typeof waitedPercent === 'number' ? { waitedPercent } : {}
    return { result, exitStatus: String(exitStatus), oomKills, ...waited, at }
  } catch {
    return undefined // not under a unit of byre's, or the unit was stopped as it should
  }
}

/** The verdict on the process, whoever was inside. */
export function verdictOfUnit({ result, oomKills }: UnitResult): ExitRecord['verdict'] {
  if (killedForMemory({ result, oomKills })) return 'oom-host'
  return result === 'watchdog' ? 'stalled' : 'unknown'
}

function killedForMemory({ result, oomKills }: Pick<UnitResult, 'result' | 'oomKills'>): boolean {
  return result === 'oom-kill' || oomKills > 0
}

/** Reads and removes the diagnostic report V8 left on a fatal error (process.report.reportOnFatalError). */
export function takeFatalReport(path: string): FatalReport | undefined {
  try {
    const text = readFileSync(path, 'utf8')
    rmSync(path, { force: true })
    const parsed: unknown = JSON.parse(text)
    if (!isRecord(parsed)) return undefined
    const header = parsed['header'] as { event?: string } | undefined
    const js = parsed['javascriptStack'] as { message?: string; stack?: string[] } | undefined
    const heap = parsed['javascriptHeap'] as { usedMemory?: number; memoryLimit?: number } | undefined
    return {
      event: String(header?.event ?? 'fatal error'),
      stack: (js?.stack ?? [])
        .map((line) => `    ${line.startsWith('at ') ? line : `at ${line}`}`)
        .join('\n'),
      ...(heap?.usedMemory === undefined ? {} : { heapUsedBytes: heap.usedMemory }),
      ...(heap?.memoryLimit === undefined ? {} : { heapLimitBytes: heap.memoryLimit }),
    }
  } catch {
    return undefined // no report, or one cut short by the death it describes
  }
}

/** What the watching thread wrote while the loop was held (stall/note.ts). */
export type StallNote = StallStatus['last'] & {
  readonly v: 1
  readonly pid: number
  readonly worker?: string
}

export function stallNoteFile(stateFolder: string, label: string): string {
  return join(stateFolder, `${label}.stall.json`)
}

/** Reads and removes it; undefined when there is none, or none that can be read. */
export function takeStallNote(file: string): StallNote | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    rmSync(file, { force: true })
    const parsed: unknown = JSON.parse(text)
    return isRecord(parsed) && parsed['v'] === 1 && typeof parsed['blockedMs'] === 'number'
      ? (parsed as unknown as StallNote)
      : undefined
  } catch {
    return undefined // none was written, or only a part of one
  }
}

/** What the next start knows of the end besides the breadcrumb. The times are ms since the epoch. */
interface Circumstances {
  readonly now: number
  readonly bootedAt: number
  readonly unit?: UnitResult | undefined
  readonly stall?: StallNote | undefined
  /** Whether a worker that holds the loop for long leaves a `stall`, if somebody watched: then none says that it did not.
   *  @default no */
  readonly watched?: ((worker: string) => boolean) | undefined
}

/**
 * Who took the last process down, or undefined when it ended as it should or nothing names anybody. When a process died
 * is known to nobody after it but its unit: without a `unit` note, one older than HELD_MS may also be a kill in the
 * middle of a callback and a long pause before this start: no proof where a stall would have been noted. The times are
 * ms since the epoch.
 */
export function explainLastRun(
  crumb: Crumb | undefined,
  report: FatalReport | undefined,
  owners: () => StackOwners,
  { now, bootedAt, unit, stall, watched = () => false }: Circumstances,
): LastRun | undefined {
  if (report !== undefined) {
    const owner = ownerOfStack(report.stack, throughLinks(owners()))
    const worker = owner.kind === 'worker' ? owner.worker : crumb?.worker
    if (worker !== undefined) return fromReport(worker, report, owner.kind === 'worker', now)
  }
  if (crumb === undefined || crumb.state === 'clean') return undefined
  if (
    stall?.worker !== undefined &&
    isOf(stall, crumb, bootedAt) &&
    !(unit !== undefined && killedForMemory(unit))
  )
    return fromStall(stall.worker, stall, crumb, unit)
  if (crumb.worker === undefined || crumb.state === 'idle') return undefined
  const evidence = { state: crumb.state, enteredAt: crumb.at, pid: crumb.pid }
  if (crumb.state === 'abort') {
    return last(crumb, 'killed', 'called process.abort(), which ended the whole process', evidence, true)
  }
  if (crumb.at < bootedAt) return undefined // the machine went down, and everybody with it
  const heldMs = (unit?.at ?? now) - crumb.at
  const enoughMs = unit?.result === 'watchdog' ? HELD_AT_WATCHDOG_MS : HELD_MS
  // without the unit's word the time since is the pause before this start as well: no proof against whoever was watched
  const held = heldMs >= enoughMs && (unit !== undefined || crumb.watched !== true || !watched(crumb.worker))
  const certain = crumb.state === 'fatal' || held
  if (unit !== undefined) {
    const text = `${describeUnit(unit)}; its loop had been inside this worker for ${heldMs} ms`
    return last(crumb, verdictOfUnit(unit), text, { ...evidence, unit }, certain)
  }
  const text = `the process died while its loop was inside this worker, entered ${heldMs} ms before this start`
  return last(
    crumb,
    'unknown',
    text,
    { ...evidence, unavailable: { signal: 'not known to the next process' } },
    certain,
  )
}

/** This process has loaded nothing yet: the links of the config lead where they lead now. */
function throughLinks({ byModule, ownRoot }: StackOwners): StackOwners {
  const byFile = new Map<string, readonly string[]>()
  for (const [path, workers] of byModule) {
    const file = realFile(path)
    byFile.set(file, [...(byFile.get(file) ?? []), ...workers])
  }
  return { byModule: byFile, ownRoot }
}

/** Not `realpathSync` in JavaScript: see base/stat.ts. */
function realFile(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path // it is gone
  }
}

/** One clause on how the unit saw its process end. */
export function describeUnit(unit: UnitResult): string {
  const verdict = verdictOfUnit(unit)
  if (verdict === 'oom-host') return 'the kernel killed the process: its unit was over its memory limit'
  if (verdict === 'stalled')
    return `the watchdog of the unit ended the process: its loop was held${describeWait(unit)}`
  return `the process ended with ${unit.exitStatus} (${unit.result})`
}

/** Past memory.high the kernel holds whoever asks for memory, and with it the loop: that is not the worker's code alone. */
function describeWait({ waitedPercent = 0 }: UnitResult): string {
  return waitedPercent < WAITED_PERCENT
    ? ''
    : `, while the kernel let the unit wait for memory (${waitedPercent} % of its last 10 s)`
}

function fromReport(worker: string, report: FatalReport, byStack: boolean, now: number): LastRun {
  const oom = /out of memory|heap/i.test(report.event)
  const evidence = { ...report, namedBy: byStack ? 'stack' : 'breadcrumb' }
  const reason = `${report.event}, which ended the whole process`
  return { worker, certain: true, exit: { verdict: oom ? 'oom-heap' : 'unknown', reason, evidence, at: now } }
}

/** The note is of the very process that ended, and nothing but the stall explains its end. */
function isOf(stall: StallNote, crumb: Crumb, bootedAt: number): boolean {
  if (crumb.state === 'abort') return false
  return stall.pid === crumb.pid && stall.at >= crumb.startedAt && stall.at >= bootedAt
}

function fromStall(worker: string, stall: StallNote, crumb: Crumb, unit: UnitResult | undefined): LastRun {
  const { v: _, worker: __, ...seen } = stall
  const where = stall.file === undefined ? '' : ` in ${stall.function} (${stall.file}:${stall.line})`
  const reason = `it had held the loop for ${formatDurationMs(stall.blockedMs)}${where} when it was seen, and the process was ended before it gave it back${unit === undefined ? '' : describeWait(unit)}`
  const unavailable = {
    ...(unit === undefined ? { signal: 'not known to the next process' } : {}),
    ...(stall.file === undefined ? { function: 'native code cannot be paused' } : {}),
  }
  const evidence = { ...seen, enteredAt: crumb.at, ...(unit === undefined ? {} : { unit }), unavailable }
  // A guess that the breadcrumb does not share is one.
  const certain = stall.by !== 'entered' || crumb.worker === worker
  return { worker, certain, exit: { verdict: 'stalled', reason, evidence, at: stall.at } }
}

function last(
  crumb: Crumb,
  verdict: ExitRecord['verdict'],
  reason: string,
  evidence: Record<string, unknown>,
  certain: boolean,
): LastRun {
  return { worker: String(crumb.worker), certain, exit: { verdict, reason, evidence, at: crumb.at } }
}
