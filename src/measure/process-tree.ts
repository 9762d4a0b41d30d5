// The descendants of a process. One pass over /proc/<pid>/stat reads the parent links of the whole machine;
// /proc/<pid>/task/<tid>/children is only complete while the process does not fork.
//
// /proc is not a snapshot: a process may fork, end or lose its parent during the pass. Membership is therefore kept by
// identity (pid and start time) across passes: a member stays one after its parent has ended and init has adopted it.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { PROC_ROOT, listProcNumbers } from '../procfs/read.ts'
import type { ProcessIdentity, ProcStat } from '../procfs/stat.ts'
import { readStat } from '../procfs/stat.ts'

/** The processes by pid. */
export type ProcessTable = ReadonlyMap<number, ProcStat>

export interface TreeOptions {
  /** Members of earlier passes; they and their descendants remain members under any parent. @default none */
  readonly known?: Iterable<ProcessIdentity>
  /** Every process of this session is a member, which includes processes that double-forked before the first pass. Use it
   *  only for a session that the root process leads; any other would include unrelated processes. @default none */
  readonly session?: number
}

/** All processes at this moment, without those that end during the pass or cannot be read. Takes 15-40 us a process. */
export function readProcessTable(root: string = PROC_ROOT): ProcessTable {
  const pids = listProcNumbers(undefined, '', root)
  const table = new Map<number, ProcStat>()
  for (const pid of pids.ok ? pids.value : []) {
    const stat = readStat(pid, root)
    if (stat.ok) table.set(pid, stat.value)
  }
  return table
}

/**
 * Like readProcessTable, in slices: it holds the loop for `sliceMs` at most, plus the time for one list of all pids (0.3 us a
 * process), and lets other work run in between. The first slice is read before it returns.
 */
export async function readProcessTableInSlices(
  sliceMs: number,
  root: string = PROC_ROOT,
): Promise<ProcessTable> {
  const pids = listProcNumbers(undefined, '', root)
  const table = new Map<number, ProcStat>()
  await inSlices(pids.ok ? pids.value : [], sliceMs, (pid) => {
    const stat = readStat(pid, root)
    if (stat.ok) table.set(pid, stat.value)
  })
  return table
}

/** Calls `fn` for each item, and lets other work of the loop run after each `sliceMs`, until `rest` resolves. */
export async function inSlices<T>(
  items: Iterable<T>,
  sliceMs: number,
  fn: (item: T) => void,
  rest: () => Promise<void> = nextTurn,
): Promise<void> {
  let endAt = performance.now() + sliceMs
  for (const item of items) {
    fn(item)
    if (performance.now() < endAt) continue
    await rest()
    endAt = performance.now() + sliceMs
  }
}

/** The members of the tree of `rootPid`, if it is given, and of `options`: the root first if it is alive, parents before their
 *  children, else by pid. Pure. */
export function selectTree(
  table: ProcessTable,
  rootPid: number | undefined,
  options: TreeOptions = {},
): ProcStat[] {
  const children = childrenByParent(table)
  const found = new Map<number, ProcStat>()
  const queue = seeds(table, rootPid, options)
  for (const stat of queue) {
    // Two processes read at different moments can name each other as parent when a pid was reused in between.
    if (found.has(stat.pid)) continue
    found.set(stat.pid, stat)
    queue.push(...(children.get(stat.pid) ?? []))
  }
  return [...found.values()]
}

/** selectTree for the current processes. */
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

function seeds(table: ProcessTable, rootPid: number | undefined, options: TreeOptions): ProcStat[] {
  const found: ProcStat[] = []
  const top = rootPid === undefined ? undefined : table.get(rootPid)
  if (top !== undefined) found.push(top)
  for (const { pid, startTicks } of options.known ?? []) {
    const stat = table.get(pid)
    if (stat?.startTicks === startTicks) found.push(stat)
  }
  if (options.session === undefined) return found
  for (const stat of table.values()) if (stat.session === options.session) found.push(stat)
  return found
}
