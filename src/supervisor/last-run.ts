// How the last process of this group ended, read from its breadcrumb and V8's fatal report, and what the next start
// does about it (law 1): the siblings come up, the culprit does not.

import { readFileSync, rmSync } from 'node:fs'
import { isRecord } from '../base/check.ts'
import { ownerOfStack } from './attribution/stack.ts'
import type { StackOwners } from './attribution/stack.ts'
import type { Crumb } from './breadcrumb.ts'
import type { ExitRecord } from './status.ts'

/** A process that died inside a worker this long after entering it was held by it, not hit at random. */
const HELD_MS = 1000

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

/**
 * Who took the last process down, or undefined when it ended as it should or nothing names anybody. When a process died
 * is known to nobody after it: a note older than HELD_MS may also be a kill in the middle of a callback and a long
 * pause before this start. The times are ms since the epoch.
 */
export function explainLastRun(
  crumb: Crumb | undefined,
  report: FatalReport | undefined,
  owners: StackOwners,
  { now, bootedAt }: { readonly now: number; readonly bootedAt: number },
): LastRun | undefined {
  if (report !== undefined) {
    const owner = ownerOfStack(report.stack, owners)
    const worker = owner.kind === 'worker' ? owner.worker : crumb?.worker
    if (worker !== undefined) return fromReport(worker, report, owner.kind === 'worker', now)
  }
  if (crumb?.worker === undefined || crumb.state === 'clean' || crumb.state === 'idle') return undefined
  const evidence = { state: crumb.state, enteredAt: crumb.at, pid: crumb.pid }
  if (crumb.state === 'abort') {
    return last(crumb, 'killed', 'called process.abort(), which ended the whole process', evidence, true)
  }
  if (crumb.at < bootedAt) return undefined // the machine went down, and everybody with it
  const heldMs = now - crumb.at
  const certain = crumb.state === 'fatal' || heldMs >= HELD_MS
  const text = `the process died while its loop was inside this worker, entered ${heldMs} ms before this start`
  return last(
    crumb,
    'unknown',
    text,
    { ...evidence, unavailable: { signal: 'not known to the next process' } },
    certain,
  )
}

function fromReport(worker: string, report: FatalReport, byStack: boolean, now: number): LastRun {
  const oom = /out of memory|heap/i.test(report.event)
  const evidence = { ...report, namedBy: byStack ? 'stack' : 'breadcrumb' }
  const reason = `${report.event}, which ended the whole process`
  return { worker, certain: true, exit: { verdict: oom ? 'oom-heap' : 'unknown', reason, evidence, at: now } }
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
