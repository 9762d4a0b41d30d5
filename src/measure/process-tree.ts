// The processes below a process. One pass over /proc/<pid>/stat gives parent links for the whole machine; lists of
// children per thread (children.ts) are only promised complete while the process stands still.
//
// /proc is no snapshot: a process may fork, end or lose its parent during the pass. So membership is kept by identity
// (pid and start time) across passes: who was once in the tree stays in it after its parent died and init adopted it.

import { PROC_ROOT, listProcNumbers } from '../procfs/read.ts'
import type { ProcStat } from '../procfs/stat.ts'
import { readStat } from '../procfs/stat.ts'

/** By pid. */
export type ProcessTable = ReadonlyMap<number, ProcStat>

/** One process for good: the kernel uses pids again, but not with the same start time. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startTicks: number
}

export interface TreeOptions {
  /** Members of earlier passes: still members, with their descendants, wherever they hang now. @default none */
  readonly known?: Iterable<ProcessIdentity>
  /** Every process of this session is a member: catches double forks before the first pass saw them. Give it only for
   *  a session the root itself leads, else the caller's own session would join. @default none */
  readonly session?: number
}

/** Every process now. What ends during the pass, or may not be read, is left out. 15-40 us a process. */
export function readProcessTable(root: string = PROC_ROOT): ProcessTable {
  const pids = listProcNumbers(undefined, '', root)
  const table = new Map<number, ProcStat>()
  for (const pid of pids.ok ? pids.value : []) {
    const stat = readStat(pid, root)
    if (stat.ok) table.set(pid, stat.value)
  }
  return table
}

/** The members of the tree of `rootPid`: root first when it lives, each parent before its children, else by pid. Pure. */
export function selectTree(table: ProcessTable, rootPid: number, options: TreeOptions = {}): ProcStat[] {
  const children = childrenByParent(table)
  const found = new Map<number, ProcStat>()
  const queue = seeds(table, rootPid, options)
  for (const stat of queue) {
    // Two processes seen at different moments can name each other as parent, when a pid was used again in between.
    if (found.has(stat.pid)) continue
    found.set(stat.pid, stat)
    queue.push(...(children.get(stat.pid) ?? []))
  }
  return [...found.values()]
}

/** selectTree over the processes there are now. */
export function readTree(rootPid: number, options: TreeOptions = {}, root: string = PROC_ROOT): ProcStat[] {
  return selectTree(readProcessTable(root), rootPid, options)
}

function childrenByParent(table: ProcessTable): Map<number, ProcStat[]> {
  const children = new Map<number, ProcStat[]>()
  for (const stat of table.values()) {
    const siblings = children.get(stat.ppid)
    if (siblings === undefined) children.set(stat.ppid, [stat])
    else siblings.push(stat)
  }
  return children
}

function seeds(table: ProcessTable, rootPid: number, options: TreeOptions): ProcStat[] {
  const found: ProcStat[] = []
  const top = table.get(rootPid)
  if (top !== undefined) found.push(top)
  for (const { pid, startTicks } of options.known ?? []) {
    const stat = table.get(pid)
    if (stat?.startTicks === startTicks) found.push(stat)
  }
  if (options.session === undefined) return found
  for (const stat of table.values()) if (stat.session === options.session) found.push(stat)
  return found
}
