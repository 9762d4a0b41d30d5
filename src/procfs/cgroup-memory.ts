// Memory usage and limits of one cgroup: memory.current, memory.stat, memory.events and memory.pressure on cgroup v2
// (Documentation/admin-guide/cgroup-v2.rst), memory.usage_in_bytes and memory.stat on v1.

import { readFlatKeyed, readNumber, readText } from './memory-controller.ts'
import type { CgroupLocation } from './memory-controller.ts'
import type { ProcResult } from './read.ts'

export interface CgroupUsage {
  /** Charged memory less the inactive page cache, which the kernel can reclaim without writing anything back. */
  readonly workingSetBytes: number
  /** Times the kernel throttled the cgroup at memory.high; absent on v1. */
  readonly highEvents?: number
  /** Share of the last 10 s in which at least one task waited for memory, percent; absent on v1 and without PSI. */
  readonly pressurePercent?: number
}

type Cgroup = Pick<CgroupLocation, 'version' | 'folder'>

const FILES = {
  1: { used: 'memory.usage_in_bytes', cache: 'total_inactive_file' },
  2: { used: 'memory.current', cache: 'inactive_file' },
} as const

/** avg10 of the `some` line of a pressure file, percent. */
export function parsePressure(text: string): number | undefined {
  const match = /^some avg10=(\d{1,3}\.\d\d) /m.exec(text)
  return match === null ? undefined : Number(match[1])
}

/** `unsupported` for the root of the hierarchy, which has no such files. */
export function readCgroupUsage({ version, folder }: Cgroup): ProcResult<CgroupUsage> {
  const { used, cache } = FILES[version]
  const path = `${folder}/${used}`
  const usedBytes = readNumber(path)
  if (usedBytes === undefined) return { ok: false, reason: 'unsupported', path }
  const cacheBytes = readFlatKeyed(`${folder}/memory.stat`)?.get(cache) ?? 0
  const highEvents = readFlatKeyed(`${folder}/memory.events`)?.get('high')
  const pressurePercent = parsePressure(readText(`${folder}/memory.pressure`) ?? '')
  return {
    ok: true,
    value: {
      workingSetBytes: Math.max(0, usedBytes - cacheBytes),
      ...(highEvents === undefined ? {} : { highEvents }),
      ...(pressurePercent === undefined ? {} : { pressurePercent }),
    },
  }
}

/** The limit of this kind, bytes; undefined when none is set. */
export function readCgroupLimit({ version, folder }: Cgroup, kind: 'high' | 'max'): number | undefined {
  if (version === 2) return readNumber(`${folder}/memory.${kind}`)
  return kind === 'max' ? readNumber(`${folder}/memory.limit_in_bytes`) : undefined
}
