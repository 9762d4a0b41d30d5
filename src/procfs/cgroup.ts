// /proc/<pid>/cgroup: the cgroup of a process in each hierarchy (cgroups(7)).

import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProc } from './read.ts'

export interface CgroupLine {
  /** 0 is the unified (v2) hierarchy. */
  readonly hierarchy: number
  /** v1 controllers of the hierarchy, including named ones such as 'name=systemd'; empty for v2. */
  readonly controllers: readonly string[]
  /** Path below the mount point, starting with '/'. Ends in ' (deleted)' when the cgroup was removed while a zombie was in it. */
  readonly path: string
}

/** Returns undefined when a line is not `number:controllers:path`. The path may contain colons; the kernel escapes newlines. */
export function parseCgroup(text: string): CgroupLine[] | undefined {
  const lines: CgroupLine[] = []
  for (const line of text.split('\n')) {
    if (line === '') continue
    const match = /^(\d+):([^:]*):(\/.*)$/s.exec(line)
    const hierarchy = parseInteger(match?.[1] ?? '')
    if (match === null || hierarchy === undefined) return undefined
    lines.push({
      hierarchy,
      controllers: match[2] === '' ? [] : match[2]!.split(','),
      path: match[3]!,
    })
  }
  return lines
}

/** Path in the unified hierarchy; undefined on a machine with v1 only. */
export function unifiedPath(lines: readonly CgroupLine[]): string | undefined {
  return lines.find((line) => line.hierarchy === 0 && line.controllers.length === 0)?.path
}

/** Path in the v1 hierarchy of `controller`; undefined when no v1 hierarchy has that controller. */
export function controllerPath(lines: readonly CgroupLine[], controller: string): string | undefined {
  return lines.find((line) => line.controllers.includes(controller))?.path
}

export function readCgroup(pid: Pid, root: string = PROC_ROOT): ProcResult<CgroupLine[]> {
  return readProc(pid, 'cgroup', parseCgroup, root)
}
