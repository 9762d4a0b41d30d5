// /proc/<pid>/cmdline: the arguments of a process (proc(5)).

import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

/** Each argument ends with a zero byte. A zombie has none; a process may have written anything in their place. */
export function parseCmdline(text: string): string[] {
  return text.split('\0').filter((argument) => argument !== '')
}

export function readCmdline(pid: Pid, root: string = PROC_ROOT): ProcResult<string[]> {
  return readProc(pid, 'cmdline', parseCmdline, root)
}
