// One reading of a worker's process or thread from /proc. CPU time of a process includes the threads it has ended, so it
// comes from ticks; that of a thread comes from the scheduler in nanoseconds where the kernel counts it.

import type { ProcFailure, ProcResult } from '../../procfs/read.ts'
import { PROC_ROOT, readProc } from '../../procfs/read.ts'
import { readAuxv } from '../../procfs/auxv.ts'
import { readTaskSchedstat } from '../../procfs/schedstat.ts'
import { parseStat, readStat } from '../../procfs/stat.ts'
import type { ProcStat } from '../../procfs/stat.ts'
import { readStatm } from '../../procfs/statm.ts'

/** The units of this kernel's files. */
export interface KernelUnits {
  readonly ticksPerSecond: number
  readonly pageSizeBytes: number
}

/** Where the kernel does not tell: true of every Linux that Node runs on, except for pages of 16 or 64 KiB on some arm64
 *  and ppc64. */
export const USUAL_UNITS: KernelUnits = { ticksPerSecond: 100, pageSizeBytes: 4096 }

export interface Reading {
  /** When it began, ticks since boot: with the pid it names one process for good. */
  readonly startTicks: number
  /** User and system time since it began. */
  readonly cpuMs: number
  /** Absent for a thread: the kernel keeps no memory per thread. */
  readonly rssBytes?: number
}

/** The units, or why the usual ones have to do. */
export function readUnits(root: string = PROC_ROOT): ProcResult<KernelUnits> {
  return readAuxv('self', root)
}

/** A process that has ended but was not waited for reads as `gone`, and so does one that is being ended. */
export function readProcessFigures(
  pid: number,
  units: KernelUnits,
  root: string = PROC_ROOT,
): ProcResult<Reading> {
  const stat = readStat(pid, root)
  if (!stat.ok) return stat
  if (isOver(stat.value)) return gone(`${root}/${pid}/stat`)
  const statm = readStatm(pid, units.pageSizeBytes, root)
  if (!statm.ok) return statm
  // A process that is being ended has given its memory back some time before it is a zombie: all zeros then (fs/proc/array.c).
  if (statm.value.sizeBytes === 0) return gone(`${root}/${pid}/statm`)
  const { startTicks } = stat.value
  return {
    ok: true,
    value: { startTicks, cpuMs: ticksMs(stat.value, units), rssBytes: statm.value.rssBytes },
  }
}

/** The same of one thread, without memory. */
export function readThreadFigures(
  pid: number,
  tid: number,
  units: KernelUnits,
  root: string = PROC_ROOT,
): ProcResult<Reading> {
  const stat = readProc(pid, `task/${tid}/stat`, parseStat, root)
  // The folder of a thread that has ended is missing in that of a process that lives.
  if (!stat.ok) return stat.reason === 'unsupported' ? gone(stat.path) : stat
  if (isOver(stat.value)) return gone(`${root}/${pid}/task/${tid}/stat`)
  const scheduled = readTaskSchedstat(pid, tid, root)
  // A kernel built without scheduler statistics has the file and writes zeros.
  const cpuMs = scheduled.ok && scheduled.value.cpuMs > 0 ? scheduled.value.cpuMs : ticksMs(stat.value, units)
  return { ok: true, value: { startTicks: stat.value.startTicks, cpuMs } }
}

function ticksMs({ userTicks, systemTicks }: ProcStat, units: KernelUnits): number {
  return ((userTicks + systemTicks) * 1000) / units.ticksPerSecond
}

function isOver({ state }: ProcStat): boolean {
  return state === 'Z' || state === 'X'
}

function gone(path: string): ProcFailure {
  return { ok: false, reason: 'gone', path }
}
