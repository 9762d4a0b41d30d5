// /proc/<pid>/task/<tid>/children: the children one thread has forked. The kernel promises a complete list only while
// the process stands still; measure/process-tree.ts scans stat files instead where completeness matters.

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, listProcNumbers, readProc } from './read.ts'

/** Undefined when anything but pids is there. Empty text is no children. */
export function parseChildren(text: string): number[] | undefined {
  const pids = text
    .split(/\s+/)
    .filter((word) => word !== '')
    .map(parseInteger)
  return pids.every((pid) => pid !== undefined) ? pids : undefined
}

/** Children of every thread of `pid`, ascending. A thread that ends meanwhile is left out. */
export function readChildren(pid: Pid, root: string = PROC_ROOT): ProcResult<number[]> {
  const tasks = listProcNumbers(pid, 'task', root)
  if (!tasks.ok) return tasks
  const all: number[] = []
  for (const tid of tasks.value) {
    const children = readProc(pid, `task/${tid}/children`, parseChildren, root)
    if (children.ok) all.push(...children.value)
    else if (children.reason !== 'gone' && tasks.value.length === 1) return children
  }
  return { ok: true, value: all.toSorted((a, b) => a - b) }
}
