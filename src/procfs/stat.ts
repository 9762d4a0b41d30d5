// /proc/<pid>/stat: identity, parent and CPU time of a process (proc_pid_stat(5)).

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

/** Identifies one process: the kernel reuses pids, but not with the same start time. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks from boot to the start of the process. */
  readonly startTicks: number
}

export interface ProcStat extends ProcessIdentity {
  /** The first 15 bytes of the name that the process has set; may contain spaces, parentheses and newlines. */
  readonly comm: string
  /** R running, S sleeping, D disk sleep, Z zombie, T stopped, t traced, X dead, I idle kernel thread. */
  readonly state: string
  readonly ppid: number
  readonly session: number
  /** CPU time in clock ticks (auxv.ts; usually 100 per second), summed over all threads. */
  readonly userTicks: number
  readonly systemTicks: number
  readonly threads: number
}

/** Returns undefined when a field is missing or not a number. Field numbers are those of proc_pid_stat(5). */
export function parseStat(text: string): ProcStat | undefined {
  // comm may contain anything, even ") R 1". It ends at the last parenthesis, since no later field has one.
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
    session: field(6),
    userTicks: field(14),
    systemTicks: field(15),
    threads: field(20),
    startTicks: field(22),
  }
  if (pid === undefined || state === undefined || !/^[A-Za-z]$/.test(state)) return undefined
  if (!allDefined(numbers)) return undefined
  return { pid, comm: text.slice(open + 1, close), state, ...numbers }
}

function allDefined<K extends string>(
  numbers: Readonly<Record<K, number | undefined>>,
): numbers is Readonly<Record<K, number>> {
  return Object.values(numbers).every((value) => value !== undefined)
}

export function readStat(pid: Pid, root: string = PROC_ROOT): ProcResult<ProcStat> {
  return readProc(pid, 'stat', parseStat, root)
}
