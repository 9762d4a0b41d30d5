// /proc/<pid>/task/<tid>/schedstat: CPU time in nanoseconds; stat counts ticks of 10 ms (sched-stats.rst).

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface Schedstat {
  readonly cpuMs: number
  /** Time spent runnable in a run queue, waiting for a CPU. */
  readonly waitMs: number
}

/** Returns undefined unless the text starts with two numbers. Rejects values above 2^53 ns (104 days). */
export function parseSchedstat(text: string): Schedstat | undefined {
  const [cpuNs, waitNs] = text.trim().split(/\s+/).map(parseInteger)
  if (cpuNs === undefined || waitNs === undefined) return undefined
  return { cpuMs: cpuNs / 1e6, waitMs: waitNs / 1e6 }
}

/** Statistics of one thread; `unsupported` when the kernel keeps none. */
export function readTaskSchedstat(pid: Pid, tid: number, root: string = PROC_ROOT): ProcResult<Schedstat> {
  return readProc(pid, `task/${tid}/schedstat`, parseSchedstat, root)
}
