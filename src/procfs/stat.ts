// /proc/<pid>/stat: identity, parent, CPU time and faults of a process (proc_pid_stat(5)).

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface ProcStat {
  readonly pid: number
  /** The first 15 bytes of the name, as the process set it: spaces, parentheses and newlines included. */
  readonly comm: string
  /** R running, S sleeping, D disk sleep, Z zombie, T stopped, t traced, X dead, I idle kernel thread. */
  readonly state: string
  readonly ppid: number
  readonly processGroup: number
  readonly session: number
  /** Clock ticks (auxv.ts: usually 100 per second), all threads together; of waited-for children in the `children…` pair. */
  readonly userTicks: number
  readonly systemTicks: number
  readonly childrenUserTicks: number
  readonly childrenSystemTicks: number
  readonly minorFaults: number
  readonly majorFaults: number
  readonly threads: number
  /** Ticks after boot. With the pid it names one process for good: pids are used again. */
  readonly startTicks: number
}

/** Undefined when a field is missing or no number. Field numbers in comments are those of proc_pid_stat(5). */
export function parseStat(text: string): ProcStat | undefined {
  // comm may hold anything, ") R 1" included; only the last parenthesis ends it, since no later field has one.
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  if (open < 0 || close < open) return undefined
  const pid = parseInteger(text.slice(0, open).trim())
  const rest = text
    .slice(close + 1)
    .trim()
    .split(/\s+/)
  const field = (number: number): number | undefined => parseInteger(rest[number - 3] ?? '')
  const state = rest[0]
  const numbers = {
    ppid: field(4),
    processGroup: field(5),
    session: field(6),
    minorFaults: field(10),
    majorFaults: field(12),
    userTicks: field(14),
    systemTicks: field(15),
    childrenUserTicks: field(16),
    childrenSystemTicks: field(17),
    threads: field(20),
    startTicks: field(22),
  }
  if (pid === undefined || state === undefined || !/^[A-Za-z]$/.test(state)) return undefined
  if (!allKnown(numbers)) return undefined
  return { pid, comm: text.slice(open + 1, close), state, ...numbers }
}

function allKnown<K extends string>(
  numbers: Readonly<Record<K, number | undefined>>,
): numbers is Readonly<Record<K, number>> {
  return Object.values(numbers).every((value) => value !== undefined)
}

export function readStat(pid: Pid, root: string = PROC_ROOT): ProcResult<ProcStat> {
  return readProc(pid, 'stat', parseStat, root)
}
