// What a process did: CPU time and context switches, summed over its threads. Two readings give what an idle herd costs.

import type { ProcFailure } from '../procfs/read.ts'
import { PROC_ROOT, listProcNumbers } from '../procfs/read.ts'
import { readTaskSchedstat } from '../procfs/schedstat.ts'
import { readStat } from '../procfs/stat.ts'
import { readTaskStatus } from '../procfs/status.ts'

export interface Activity {
  /** User and system time. From the scheduler in ns where the kernel counts it (`cpuSource: 'schedstat'`), else from
   *  ticks of usually 10 ms (`'stat'`). Schedstat misses threads that have ended. */
  readonly cpuMs: number
  readonly cpuSource: 'schedstat' | 'stat'
  /** Times a thread went to sleep by itself. Threads that have ended are not counted any more. */
  readonly voluntarySwitches: number
  readonly involuntarySwitches: number
  readonly threads: number
}

/** `ticksPerSecond` from procfs/auxv.ts, for the fallback. */
export function readActivity(
  pid: number,
  ticksPerSecond: number,
  root: string = PROC_ROOT,
): { readonly ok: true; readonly value: Activity } | ProcFailure {
  const tids = listProcNumbers(pid, 'task', root)
  if (!tids.ok) return tids
  const stat = readStat(pid, root)
  if (!stat.ok) return stat
  const total = { cpuMs: 0, voluntarySwitches: 0, involuntarySwitches: 0, threads: 0 }
  let counted = true
  for (const tid of tids.value) {
    const status = readTaskStatus(pid, tid, root)
    if (!status.ok) continue // the thread has ended
    const cpu = readTaskSchedstat(pid, tid, root)
    if (cpu.ok) total.cpuMs += cpu.value.cpuMs
    else if (cpu.reason !== 'gone') counted = false
    total.voluntarySwitches += status.value.voluntarySwitches
    total.involuntarySwitches += status.value.involuntarySwitches
    total.threads++
  }
  // A kernel built without scheduler statistics has the file and writes zeros.
  if (counted && total.cpuMs > 0) return { ok: true, value: { ...total, cpuSource: 'schedstat' } }
  const cpuMs = ((stat.value.userTicks + stat.value.systemTicks) * 1000) / ticksPerSecond
  return { ok: true, value: { ...total, cpuMs, cpuSource: 'stat' } }
}
