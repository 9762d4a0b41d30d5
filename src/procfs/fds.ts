// /proc/<pid>/fd: what a process has open. Counts connections and finds leaked descriptors.

import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, listProcNumbers, readProcLink } from './read.ts'

export type FdKind = 'socket' | 'pipe' | 'anon' | 'file'

export interface Fd {
  readonly fd: number
  readonly kind: FdKind
  /** `socket:[123]`, `pipe:[123]`, `anon_inode:[eventpoll]`, or a path (' (deleted)' appended by the kernel). */
  readonly target: string
}

/** The kind a link target stands for (proc_pid_fd(5)). */
export function fdKind(target: string): FdKind {
  if (/^socket:\[\d+\]$/.test(target)) return 'socket'
  if (/^pipe:\[\d+\]$/.test(target)) return 'pipe'
  return target.startsWith('anon_inode:') ? 'anon' : 'file'
}

/** Ascending. A descriptor closed meanwhile is left out; for `self` the one used to list is, too. */
export function readFds(pid: Pid, root: string = PROC_ROOT): ProcResult<Fd[]> {
  const numbers = listProcNumbers(pid, 'fd', root)
  if (!numbers.ok) return numbers
  const found: Fd[] = []
  for (const fd of numbers.value) {
    const link = readProcLink(pid, `fd/${fd}`, root)
    if (link.ok) found.push({ fd, kind: fdKind(link.value), target: link.value })
  }
  return { ok: true, value: found }
}
