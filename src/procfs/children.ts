// /proc/<pid>/task/<tid>/children: the processes that a thread has started and that have not been waited for (proc(5)).

import { parseInteger } from './fields.ts'
import type { Pid } from './read.ts'
import { listProcNumbers, PROC_ROOT, readProc } from './read.ts'
import type { ProcStat } from './stat.ts'
import { readStat } from './stat.ts'

/** At most this many children are read: a child takes 30 us. */
const CHILDREN_MAX = 1000

/** Pids, separated by spaces. Undefined for any other text. */
export function parseChildren(text: string): number[] | undefined {
  const pids = text.split(' ').flatMap((pid) => (pid.trim() === '' ? [] : parseInteger(pid.trim())))
  return pids.every((pid) => pid !== undefined) ? pids : undefined
}

/** The children of one thread, of all threads without `tid`, at most 1000. Empty where they cannot be read; never throws. */
export function readChildren(pid: Pid, tid?: number, root: string = PROC_ROOT): ProcStat[] {
  try {
    const pids = (tid === undefined ? readTids(pid, root) : [tid]).flatMap((each) => {
      const children = readProc(pid, `task/${each}/children`, parseChildren, root)
      return children.ok ? children.value : []
    })
    return pids.slice(0, CHILDREN_MAX).flatMap((child) => {
      const stat = readStat(child, root)
      return stat.ok ? stat.value : []
    })
  } catch {
    return [] // no file can be opened
  }
}

/** The threads of a process. */
export function readTids(pid: Pid, root: string = PROC_ROOT): number[] {
  const tids = listProcNumbers(pid, 'task', root)
  return tids.ok ? tids.value : []
}
