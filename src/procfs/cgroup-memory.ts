// What the kernel charges to one cgroup: memory.current, memory.stat, memory.events and memory.pressure on cgroup v2
// (Documentation/admin-guide/cgroup-v2.rst), memory.usage_in_bytes and memory.stat on v1.

import { readFlat, readNumber, readText } from './memory-controller.ts'
import type { MemoryPlace } from './memory-controller.ts'
import type { ProcResult } from './read.ts'

export interface CgroupUsage {
  /** What is charged without the page cache that nobody has touched lately: what cannot be had back for the asking. */
  readonly workingSetBytes: number
  /** How often the group was held at memory.high; absent on v1. */
  readonly highEvents?: number
  /** Share of the last 10 s in which some task waited for memory, percent; absent on v1 and without PSI. */
  readonly pressurePercent?: number
}

type Cgroup = Pick<MemoryPlace, 'version' | 'folder'>

const FILES = {
  1: { used: 'memory.usage_in_bytes', cache: 'total_inactive_file' },
  2: { used: 'memory.current', cache: 'inactive_file' },
} as const

/** avg10 of the line `some` of a pressure file, percent. */
export function parsePressure(text: string): number | undefined {
  const match = /^some avg10=(\d{1,3}\.\d\d) /m.exec(text)
  return match === null ? undefined : Number(match[1])
}

/** `unsupported`: the root of the hierarchy, which has no such files. */
export function readCgroupUsage({ version, folder }: Cgroup): ProcResult<CgroupUsage> {
  const { used, cache } = FILES[version]
  const path = `${folder}/${used}`
  const usedBytes = readNumber(path)
  if (usedBytes === undefined) return { ok: false, reason: 'unsupported', path }
  const cacheBytes = readFlat(`${folder}/memory.stat`)?.get(cache) ?? 0
  const highEvents = readFlat(`${folder}/memory.events`)?.get('high')
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

/** The bound of `kind`; undefined: none is set. */
export function readCgroupLimit({ version, folder }: Cgroup, kind: 'high' | 'max'): number | undefined {
  if (version === 2) return readNumber(`${folder}/memory.${kind}`)
  return kind === 'max' ? readNumber(`${folder}/memory.limit_in_bytes`) : undefined
}
