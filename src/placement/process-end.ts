// How a process ended, told from outside: its exit code or signal, the tail of its stderr, V8's fatal report, its cgroup.

import { constants } from 'node:os'
import type { ResolvedWorker } from '../config/types.ts'
import type { FatalReport } from '../herd/last-run.ts'
import { heapLimitMiB, heapRemedy } from './child-settings.ts'
import type { CgroupMemory } from './memory-cgroup.ts'
import type { OomFinding } from './oom-witness.ts'
import type { Exit } from '../herd/placement.ts'

export interface ProcessEnd {
  readonly error?: Error
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Death extends ProcessEnd {
  /** Of its stderr. */
  readonly tail: string
  readonly report?: FatalReport
  readonly oom: OomFinding | undefined
  /** Where it had one of its own. */
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
          text: 'its process ended without a word',
          evidence: {
            ...evidence,
            unavailable: { reason: 'it left with code 0 past process.exit', report: 'V8 wrote none' },
          },
        }
  return { verdict: 'failed', text: `its process ended with code ${end.code}`, evidence }
}

const NO_SENDER = 'the kernel does not tell who sent a signal'

/** SIGKILL: the kernel's, when its cgroup counts a kill for want of memory, or somebody's. */
function killed({ oom, cgroup }: Death, evidence: Readonly<Record<string, unknown>>): Exit {
  const text = 'its process was killed by SIGKILL'
  if (oom === undefined || 'unavailable' in oom) {
    const reason = oom?.unavailable ?? 'it ended before its cgroup was read'
    const unavailable = { sender: NO_SENDER, oomKills: reason }
    return {
      verdict: 'killed',
      text: `${text}: somebody sent it, or the kernel wanted memory`,
      evidence: { ...evidence, unavailable },
    }
  }
  const { oomKills, file, shared } = oom
  const seen = { ...evidence, oomKills, cgroupFile: file }
  if (oomKills === 0)
    return {
      verdict: 'killed',
      text: `${text}: somebody sent it, the kernel killed nothing for want of memory`,
      evidence: { ...seen, unavailable: { sender: NO_SENDER } },
    }
  return {
    verdict: 'oom-host',
    text: `the kernel killed its process for want of memory${remedyFor(cgroup)}`,
    evidence: { ...seen, confidence: shared ? 'likely' : 'certain' },
  }
}

function remedyFor(cgroup: CgroupMemory | undefined): string {
  return cgroup === undefined
    ? '. Raise the limit of its unit or container, or bound it with memoryMax'
    : ` (limit ${Math.floor(cgroup.limitBytes / 1_048_576)} MiB, from memoryMax). Raise it, or find what it keeps`
}

function outOfHeap(spec: ResolvedWorker, report: FatalReport | undefined): string {
  const limit = heapLimitMiB(spec)
  const used =
    report?.heapUsedBytes === undefined ? '' : ` with ${(report.heapUsedBytes / 1e6).toFixed(0)} MB in use`
  return `V8 heap out of memory${used}${heapRemedy(spec.name, limit)}`
}

/** A shell or a wrapper between reports a signal as 128 + n. */
function signalOfCode(code: number | null): string | null {
  if (code === null || code <= 128 || code > 192) return null
  const found = Object.entries(constants.signals).find(([, number]) => number === code - 128)
  return found?.[0] ?? null
}
