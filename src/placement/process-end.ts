// How a process ended, seen from outside: its exit code or signal, the end of its stderr, V8's fatal report, the memory and
// the OOM kills of its cgroup.

import { constants } from 'node:os'
import type { ResolvedWorker } from '../config/types.ts'
import type { FatalReport } from '../herd/last-run.ts'
import { heapLimitMiB, heapRemedy } from './launch-settings.ts'
import type { CgroupMemory } from './memory-cgroup.ts'
import { findOomFile, readOomKills } from '../procfs/oom-kills.ts'
import type { ProcFailure } from '../procfs/read.ts'
import type { Exit } from '../herd/placement.ts'

export interface ProcessEnd {
  readonly error?: Error
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Death extends ProcessEnd {
  /** The end of its stderr. */
  readonly tail: string
  readonly report?: FatalReport
  readonly oom: OomFinding | undefined
  /** Counts of the process's separate cgroup, if it has one. */
  readonly cgroup?: CgroupMemory
}

export function explainEnd(spec: ResolvedWorker, end: Death): Exit {
  const { tail, report, cgroup } = end
  const evidence = {
    code: end.code,
    signal: end.signal,
    ...(tail === '' ? {} : { stderr: tail }),
    ...(report === undefined ? {} : { report }),
    ...(cgroup === undefined ? {} : { cgroup }),
  }
  if (end.error !== undefined) {
    const text = `its process could not be started: ${end.error.message}`
    return {
      verdict: 'launch-failed',
      text,
      evidence: { ...evidence, code: (end.error as NodeJS.ErrnoException).code },
    }
  }
  const heap = /heap|memory/i.test(report?.event ?? '') || /JavaScript heap out of memory/.test(tail)
  if (heap) return { verdict: 'oom-heap', text: outOfHeap(spec, report), evidence }
  const signal = end.signal ?? signalOfCode(end.code)
  if (signal === 'SIGKILL') return killed(end, evidence)
  if (signal !== null)
    return {
      verdict: 'killed',
      text: `its process was killed by ${signal}`,
      evidence: { ...evidence, unavailable: { sender: NO_SENDER } },
    }
  if (end.code === 0)
    return spec.source.kind === 'script'
      ? { verdict: 'done', text: 'the script ended', evidence: { code: 0 } }
      : {
          verdict: 'unknown',
          text: 'its process ended without reporting an exit',
          evidence: {
            ...evidence,
            unavailable: { reason: 'it ended with code 0 without process.exit', report: 'V8 wrote none' },
          },
        }
  return { verdict: 'failed', text: `its process ended with code ${end.code}`, evidence }
}

const NO_SENDER = 'the kernel does not report the sender of a signal'

/** SIGKILL came from the kernel when its cgroup counts an OOM kill, otherwise from another process. */
function killed({ oom, cgroup }: Death, evidence: Readonly<Record<string, unknown>>): Exit {
  const text = 'its process was killed by SIGKILL'
  if (oom === undefined || 'unavailable' in oom) {
    const reason = oom?.unavailable ?? 'it ended before its cgroup was read'
    const unavailable = { sender: NO_SENDER, oomKills: reason }
    return {
      verdict: 'killed',
      text: `${text}: sent by another process, or by the kernel for lack of memory`,
      evidence: { ...evidence, unavailable },
    }
  }
  const { oomKills, file, shared } = oom
  const facts = { ...evidence, oomKills, cgroupFile: file }
  if (oomKills === 0)
    return {
      verdict: 'killed',
      text: `${text}: sent by another process; the kernel counted no OOM kill`,
      evidence: { ...facts, unavailable: { sender: NO_SENDER } },
    }
  return {
    verdict: 'oom-host',
    text: `the kernel killed its process for lack of memory${remedyFor(cgroup)}`,
    evidence: { ...facts, confidence: shared ? 'likely' : 'certain' },
  }
}

function remedyFor(cgroup: CgroupMemory | undefined): string {
  return cgroup === undefined
    ? '. Raise the limit of its unit or container, or bound it with memoryMax'
    : ` (limit ${Math.floor(cgroup.limitBytes / 1_048_576)} MiB, from memoryMax). Raise it, or find what it retains`
}

function outOfHeap(spec: ResolvedWorker, report: FatalReport | undefined): string {
  const limit = heapLimitMiB(spec)
  const used =
    report?.heapUsedBytes === undefined ? '' : ` with ${(report.heapUsedBytes / 1e6).toFixed(0)} MB in use`
  return `V8 heap out of memory${used}${heapRemedy(spec.name, limit)}`
}

/** A shell or wrapper in between reports a signal as 128 + n. */
function signalOfCode(code: number | null): string | null {
  if (code === null || code <= 128 || code > 192) return null
  const found = Object.entries(constants.signals).find(([, number]) => number === code - 128)
  return found?.[0] ?? null
}

export type OomFinding =
  | {
      /** OOM kills in its cgroup while it ran. */
      readonly oomKills: number
      readonly file: string
      /** Whether the supervisor is in the same cgroup, so that the kill may have been that of another process. */
      readonly shared: boolean
    }
  | { readonly unavailable: string }

/** Begins to count the OOM kills of the cgroup of `pid`, which is running. Call the result once the process has ended. */
export function witnessOom(pid: number): () => OomFinding {
  const file = findOomFile(pid)
  if (!file.ok) return () => ({ unavailable: reasonOf(file) })
  const before = readOomKills(file.value)
  const own = findOomFile('self')
  return () => {
    const after = readOomKills(file.value)
    if (!before.ok) return { unavailable: reasonOf(before) }
    if (!after.ok) return { unavailable: reasonOf(after) }
    const shared = own.ok && own.value === file.value
    return { oomKills: after.value - before.value, file: file.value, shared }
  }
}

function reasonOf({ path, reason }: ProcFailure): string {
  return `${path} is ${reason}`
}
