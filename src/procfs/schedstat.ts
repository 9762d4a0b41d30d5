// /proc/<pid>/task/<tid>/schedstat: CPU time in nanoseconds, where stat counts ticks of 10 ms (sched-stats.rst).

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface Schedstat {
  readonly cpuMs: number
  /** Waited on a run queue: the part of its time the machine had no core for it. */
  readonly waitMs: number
  readonly timeslices: number
}

/** Undefined unless three numbers are there. Nanoseconds beyond 2^53 (104 days of CPU) are refused. */
export function parseSchedstat(text: string): Schedstat | undefined {
  const [cpuNs, waitNs, timeslices] = text.trim().split(/\s+/).map(parseInteger)
  if (cpuNs === undefined || waitNs === undefined || timeslices === undefined) return undefined
  return { cpuMs: cpuNs / 1e6, waitMs: waitNs / 1e6, timeslices }
}

/** Of one thread; `unsupported` where the kernel keeps no scheduler statistics. */
export function readTaskSchedstat(pid: Pid, tid: number, root: string = PROC_ROOT): ProcResult<Schedstat> {
  return readProc(pid, `task/${tid}/schedstat`, parseSchedstat, root)
}
