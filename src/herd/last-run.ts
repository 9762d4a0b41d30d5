// Determines how the last process of this group ended and which worker caused it (law 1), from the breadcrumb, V8's fatal
// report, the stall note and the note of the unit.

import { readFileSync, realpathSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isRecord } from '../base/check.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ownerOfStack } from '../ownership/stack.ts'
import type { StackOwners } from '../ownership/stack.ts'
import type { Crumb } from './breadcrumb.ts'
import type { ExitRecord, StallStatus } from './status.ts'

/** A smaller share of time spent waiting for memory is not mentioned. */
const WAITED_PERCENT = 10

/** A process that died this long after entering a worker was blocked by it, not killed at random. */
const HELD_MS = 1000
/** Enough if the unit's watchdog killed the process: a loop that missed its ping was blocked for half of WatchdogSec=. */
const HELD_AT_WATCHDOG_MS = 250

export interface LastRun {
  readonly worker: string
  readonly exit: ExitRecord
  /** True: proven to be the cause. False: its code was running when the process died, which kill -9 explains as well. */
  readonly certain: boolean
}

export interface FatalReport {
  readonly event: string
  readonly stack: string
  readonly heapUsedBytes?: number
  readonly heapLimitBytes?: number
}

/** The note that units/byre-stopped writes when the main process of the unit has ended; a clean end leaves none. */
export interface UnitResult {
  /** systemd's $SERVICE_RESULT: 'signal', 'watchdog', 'oom-kill', ... */
  readonly result: string
  /** $EXIT_STATUS: a number or the name of a signal. */
  readonly exitStatus: string
  /** Processes of the unit that the kernel's OOM killer ended. */
  readonly oomKills: number
  /** Share of the last 10 s in which the whole unit waited for memory (PSI); absent on cgroup v1. */
  readonly waitedPercent?: number
  /** End of the process as systemd saw it; ms since the epoch. */
  readonly at: number
}

/** The file that units/byre-stopped writes. The unit templates do not know the herd of their config: they write to a
 *  folder next to those of the herds and set $BYRE_STOPPED. */
export function unitNoteFile(stateFolder: string, label: string): string {
  const folder = process.env['BYRE_STOPPED'] === '-' ? join(dirname(stateFolder), '-') : stateFolder
  return join(folder, `${label}.unit.json`)
}

/** Reads and removes the note; undefined if there is none or it is unreadable. */
export function takeUnitResult(path: string): UnitResult | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    rmSync(path, { force: true })
    const { result, exitStatus, oomKills, waitedPercent, at } = isRecord(parsed) ? parsed : {}
    if (typeof result !== 'string' || typeof oomKills !== 'number' || typeof at !== 'number') return undefined
    const waited = typeof waitedPercent === 'number' ? { waitedPercent } : {}
    return { result, exitStatus: String(exitStatus), oomKills, ...waited, at }
  } catch {
    return undefined // no unit of byre, or a clean stop
  }
}

/** The verdict on the process. */
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
    return undefined // no report, or one truncated by the death it describes
  }
}

/** The note that the stall thread writes while the loop is blocked (watch/stall). */
export type StallNote = StallStatus['last'] & {
  readonly v: 1
  readonly pid: number
  readonly worker?: string
}

export function stallNoteFile(stateFolder: string, label: string): string {
  return join(stateFolder, `${label}.stall.json`)
}

/** Reads and removes the note; undefined if there is none or it is unreadable. */
export function takeStallNote(file: string): StallNote | undefined {
  try {
    const text = readFileSync(file, 'utf8')
    rmSync(file, { force: true })
    const parsed: unknown = JSON.parse(text)
    return isRecord(parsed) && parsed['v'] === 1 && typeof parsed['blockedMs'] === 'number'
      ? (parsed as unknown as StallNote)
      : undefined
  } catch {
    return undefined // absent or incomplete
  }
}

/** The evidence of the next start in addition to the breadcrumb. Times are ms since the epoch. */
interface Circumstances {
  readonly now: number
  readonly bootedAt: number
  readonly unit?: UnitResult | undefined
  readonly stall?: StallNote | undefined
  /** Whether `stall.detect` is on for a worker: if the stall thread ran, a missing stall note then proves that the worker
   *  did not block the loop. @default false */
  readonly watched?: ((worker: string) => boolean) | undefined
}

/**
 * The worker that ended the last process; undefined if the process ended normally or nothing identifies a worker. Only the
 * unit knows when a process died: without a `unit` note a breadcrumb older than HELD_MS may also mean a kill during a
 * callback and a long pause before this start, which proves nothing if a stall would have left a note.
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
  if (crumb.at < bootedAt) return undefined // the machine went down
  const heldMs = (unit?.at ?? now) - crumb.at
  const enoughMs = unit?.result === 'watchdog' ? HELD_AT_WATCHDOG_MS : HELD_MS
  // without a unit note heldMs includes the pause before this start: no proof if a stall would have left a note
  const held = heldMs >= enoughMs && (unit !== undefined || crumb.watched !== true || !watched(crumb.worker))
  if (unit !== undefined) {
    const text = `${describeUnit(unit)}; its loop had been inside this worker for ${heldMs} ms`
    return last(crumb, verdictOfUnit(unit), text, { ...evidence, unit }, held)
  }
  const text = `the process died while its loop was inside this worker, entered ${heldMs} ms before this start`
  return last(
    crumb,
    'unknown',
    text,
    { ...evidence, unavailable: { signal: 'not known to the next process' } },
    held,
  )
}

/** Resolves symbolic links of the entry modules: this process has loaded nothing yet. */
export function throughLinks(owners: StackOwners): StackOwners {
  const { byModule, ownRoot } = owners
  if (owners.reach !== undefined) return owners // it has the files
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
    return path // the file is gone
  }
}

/** One clause: the end of the process as the unit saw it. */
export function describeUnit(unit: UnitResult): string {
  const verdict = verdictOfUnit(unit)
  if (verdict === 'oom-host') return 'the kernel killed the process: its unit was over its memory limit'
  if (verdict === 'stalled')
    return `the watchdog of the unit killed the process: its loop was blocked${describeWait(unit)}`
  return `the process ended with ${unit.exitStatus} (${unit.result})`
}

/** Above memory.high the kernel throttles allocations, which blocks the loop: the worker's code is not the only cause. */
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

/** Whether the note belongs to the process that ended, and only the stall explains the end. */
function isOf(stall: StallNote, crumb: Crumb, bootedAt: number): boolean {
  return stall.pid === crumb.pid && stall.at >= crumb.startedAt && stall.at >= bootedAt
}

function fromStall(worker: string, stall: StallNote, crumb: Crumb, unit: UnitResult | undefined): LastRun {
  const { v: _, worker: __, ...seen } = stall
  const where = stall.file === undefined ? '' : ` in ${stall.function} (${stall.file}:${stall.line})`
  const reason = `it had blocked the loop for ${formatDurationMs(stall.blockedMs)}${where} when it was detected, and the process was killed before the loop continued${unit === undefined ? '' : describeWait(unit)}`
  const unavailable = {
    ...(unit === undefined ? { signal: 'not known to the next process' } : {}),
    ...(stall.file === undefined ? { function: 'native code cannot be paused' } : {}),
  }
  const evidence = { ...seen, enteredAt: crumb.at, ...(unit === undefined ? {} : { unit }), unavailable }
  // A guess counts as proof only if the breadcrumb names the same worker.
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
