// How many processes of a cgroup the kernel has killed for want of memory: memory.events on cgroup v2, memory.oom_control
// on v1 (cgroups.7, Documentation/admin-guide/cgroup-v2.rst). Both have a line `oom_kill N`.

import { existsSync, readFileSync } from 'node:fs'
import { controllerPath, readCgroup, unifiedPath } from './cgroup.ts'
import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT } from './read.ts'

export const CGROUP_ROOT = '/sys/fs/cgroup'

/** Undefined without a line `oom_kill N`: kernels before 4.13. */
export function parseOomKills(text: string): number | undefined {
  const match = /^oom_kill (\d+)$/m.exec(text)
  return match?.[1] === undefined ? undefined : parseInteger(match[1])
}

/** The file that counts for the cgroup `pid` is in. It outlives the process; where cgroups are mounted elsewhere there is none. */
export function findOomFile(
  pid: Pid,
  mount: string = CGROUP_ROOT,
  root: string = PROC_ROOT,
): ProcResult<string> {
  const lines = readCgroup(pid, root)
  if (!lines.ok) return lines
  const v1 = controllerPath(lines.value, 'memory')
  const v2 = unifiedPath(lines.value)
  const candidates = [
    ...(v1 === undefined ? [] : [`${mount}/memory${v1}/memory.oom_control`]),
    ...(v2 === undefined ? [] : [`${mount}${v2}/memory.events`, `${mount}/unified${v2}/memory.events`]),
  ]
  const found = candidates.find((file) => existsSync(file))
  return found === undefined
    ? { ok: false, reason: 'unsupported', path: candidates[0] ?? mount }
    : { ok: true, value: found }
}

/** Killed since the cgroup was made. */
export function readOomKills(file: string): ProcResult<number> {
  try {
    const kills = parseOomKills(readFileSync(file, 'latin1'))
    return kills === undefined ? { ok: false, reason: 'malformed', path: file } : { ok: true, value: kills }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return { ok: false, reason: code === 'EACCES' ? 'denied' : 'gone', path: file }
  }
}
