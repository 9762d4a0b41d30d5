// The memory of a process tree, from smaps_rollup of every member. PSS adds up: a page shared by forty processes counts
// once. RSS and USS do not (RSS counts it forty times, USS not at all); both are printed beside it, never summed up alone.

import type { ProcReason } from '../procfs/read.ts'
import { PROC_ROOT } from '../procfs/read.ts'
import { readSmapsRollup } from '../procfs/smaps-rollup.ts'
import type { ProcStat } from '../procfs/stat.ts'
import type { TreeOptions } from './process-tree.ts'
import { readTree } from './process-tree.ts'

export interface MemoryFigures {
  readonly pssBytes: number
  readonly ussBytes: number
  readonly rssBytes: number
  readonly anonBytes: number
}

export interface ProcessMemory extends MemoryFigures {
  readonly pid: number
  readonly comm: string
}

export interface TreeMemory extends MemoryFigures {
  /** Processes whose memory is in the sums. */
  readonly count: number
  readonly processes: readonly ProcessMemory[]
  /** Living members whose memory could not be read: the sums are too low by them. Ended ones are no members. */
  readonly unreadable: readonly { readonly pid: number; readonly comm: string; readonly reason: ProcReason }[]
  /** Ended but not waited for; they hold no memory. */
  readonly zombies: number
}

/** Reads `members` now, one after the other: 0.5-1.3 ms each, so the sum is of a moment as long as that. */
export function readMembersMemory(members: readonly ProcStat[], root: string = PROC_ROOT): TreeMemory {
  const processes: ProcessMemory[] = []
  const unreadable: { pid: number; comm: string; reason: ProcReason }[] = []
  let zombies = 0
  for (const { pid, comm, state } of members) {
    if (state === 'Z' || state === 'X') {
      zombies++
      continue
    }
    const rollup = readSmapsRollup(pid, root)
    if (rollup.ok) {
      const { pssBytes, ussBytes, rssBytes, anonBytes } = rollup.value
      processes.push({ pid, comm, pssBytes, ussBytes, rssBytes, anonBytes })
    } else if (rollup.reason !== 'gone') unreadable.push({ pid, comm, reason: rollup.reason })
  }
  return { count: processes.length, ...sum(processes), processes, unreadable, zombies }
}

/** The tree of `rootPid` now. A root that has ended and left nothing gives count 0. */
export function readTreeMemory(
  rootPid: number,
  options: TreeOptions = {},
  root: string = PROC_ROOT,
): TreeMemory {
  return readMembersMemory(readTree(rootPid, options, root), root)
}

function sum(processes: readonly MemoryFigures[]): MemoryFigures {
  const total = { pssBytes: 0, ussBytes: 0, rssBytes: 0, anonBytes: 0 }
  for (const one of processes) {
    total.pssBytes += one.pssBytes
    total.ussBytes += one.ussBytes
    total.rssBytes += one.rssBytes
    total.anonBytes += one.anonBytes
  }
  return total
}
