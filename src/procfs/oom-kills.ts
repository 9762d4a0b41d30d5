// Number of processes that the kernel's OOM killer has killed in a cgroup: memory.events on cgroup v2, memory.oom_control
// on v1 (cgroups(7), Documentation/admin-guide/cgroup-v2.rst). Both have a line `oom_kill N`.

import { existsSync, readFileSync } from 'node:fs'
import { parseInteger } from './fields.ts'
import { findMemoryCgroup } from './memory-controller.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT } from './read.ts'

/** Returns undefined without a line `oom_kill N`, as on kernels before 4.13. */
export function parseOomKills(text: string): number | undefined {
  const match = /^oom_kill (\d+)$/m.exec(text)
  return match?.[1] === undefined ? undefined : parseInteger(match[1])
}

/** The file that counts OOM kills in the cgroup of `pid`. Read it after the process has ended: the cgroup remains. */
export function findOomFile(pid: Pid, root: string = PROC_ROOT): ProcResult<string> {
  const place = findMemoryCgroup(pid, root)
  if (!place.ok) return place
  const { version, folder } = place.value
  const file = `${folder}/${version === 1 ? 'memory.oom_control' : 'memory.events'}`
  return existsSync(file) ? { ok: true, value: file } : { ok: false, reason: 'unsupported', path: file }
}

/** OOM kills since the cgroup was created. */
export function readOomKills(file: string): ProcResult<number> {
  try {
    const kills = parseOomKills(readFileSync(file, 'latin1'))
    return kills === undefined ? { ok: false, reason: 'malformed', path: file } : { ok: true, value: kills }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { ok: false, reason: code === 'EACCES' ? 'denied' : 'gone', path: file }
  }
}
