// A memory cgroup for one run: the kernel's peak, the split of the charged memory, a limit, and the members. One interface
// covers cgroup v2 and v1, which differ in file names and available figures.
//
// The kernel's peak includes page cache that the run has read. It is therefore always reported together with the split at
// the highest sampled moment.

import { mkdirSync, writeFileSync } from 'node:fs'
import { readCgroup, unifiedPath } from '../procfs/cgroup.ts'
import { parseInteger } from '../procfs/fields.ts'
import {
  belowMount,
  findMemoryCgroup,
  findMount,
  cgroupFolder,
  delegatesMemory,
  readFlatKeyed,
  readNumber,
  readText,
  removeCgroup,
  sweepCgroups,
} from '../procfs/memory-controller.ts'
import { PROC_ROOT } from '../procfs/read.ts'
import type { PeakSource } from './result.ts'

export interface CgroupReading {
  readonly anonBytes: number
  readonly fileBytes: number
  readonly kernelBytes?: number
}

export interface MemoryEvents {
  /** Times the limit was reached and the kernel reclaimed memory. */
  readonly reclaims: number
  readonly oomKills: number
}

export interface MemoryCgroup {
  readonly source: Exclude<PeakSource, 'sampled'>
  readonly folder: string
  /** Writing a pid to this file moves the process into the cgroup. */
  readonly joinFile: string
  /** Path as /proc/<pid>/cgroup shows it. */
  readonly path: string
  /** Undefined once the cgroup is gone. */
  currentBytes(): number | undefined
  peakBytes(): number | undefined
  split(): CgroupReading | undefined
  events(): MemoryEvents | undefined
  members(): number[]
  /** Sets a memory limit that includes swap. False when the kernel refuses it. */
  limit(bytes: number): boolean
  /** Returns true when the cgroup is gone afterwards; one with living members cannot be removed. */
  remove(): boolean
}

export type CgroupTry =
  | { readonly ok: true; readonly cgroup: MemoryCgroup; readonly way: string }
  | { readonly ok: false; readonly reason: string }

/** Followed by the pid of the byre process in each name, so that a later byre can remove the cgroups of a killed one. */
const PREFIX = 'byre-measure-'

/**
 * Creates an empty cgroup. On v2 below the nearest ancestor of this process's cgroup that enables the memory controller for
 * its children (a cgroup with processes cannot); on v1 below this process's cgroup. Also removes empty cgroups left by byre
 * processes that have ended.
 */
export function createMemoryCgroup(name: string, startAt?: string, root: string = PROC_ROOT): CgroupTry {
  const location = findMemoryCgroup('self', root)
  if (!location.ok)
    return {
      ok: false,
      reason: `the memory cgroup of this process is unknown (${location.path} is ${location.reason})`,
    }
  const { version, mount } = location.value
  const own = startAt ?? location.value.path
  const parents =
    version === 1 ? [own] : ancestors(own).filter((path) => delegatesMemory(cgroupFolder(mount, path)))
  const reasons: string[] = []
  for (const parent of parents) {
    sweepCgroups(cgroupFolder(mount, parent), PREFIX)
    const path = `${parent === '/' ? '' : parent}/${PREFIX}${process.pid}-${name}`
    try {
      mkdirSync(`${mount}${path}`)
      const cgroup = version === 1 ? cgroupV1(mount, path) : cgroupV2(mount, path)
      if (cgroup.currentBytes() !== undefined)
        return { ok: true, cgroup, way: `a new cgroup v${version} below ${parent}` }
      cgroup.remove()
      reasons.push(`${parent}: no memory controller`)
    } catch (error) {
      reasons.push(`${parent}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
    }
  }
  return {
    ok: false,
    reason: `cannot create a cgroup (${reasons.join('; ') || 'no ancestor enables the memory controller for its children'})`,
  }
}

/** Creates a cgroup below a v2 cgroup that is delegated to this user; moves its processes into a leaf first, as v2 requires. */
export function delegatedCgroup(pid: number, name: string, root: string = PROC_ROOT): CgroupTry {
  const lines = readCgroup(pid, root)
  const path = lines.ok ? unifiedPath(lines.value) : undefined
  const mount = findMount(readText(`${root}/self/mountinfo`) ?? '', 2)
  if (path === undefined || mount === undefined)
    return { ok: false, reason: 'the scope of systemd-run has no cgroup v2 (a v1 scope cannot be divided)' }
  const parent = belowMount(mount, path)
  const folder = cgroupFolder(mount.folder, parent)
  try {
    mkdirSync(`${folder}/launcher`)
    writeFileSync(`${folder}/launcher/cgroup.procs`, String(pid))
    writeFileSync(`${folder}/cgroup.subtree_control`, '+memory')
    return createMemoryCgroup(name, parent, root)
  } catch (error) {
    return { ok: false, reason: `the scope of systemd-run cannot be divided (${(error as Error).message})` }
  }
}

function ancestors(path: string): string[] {
  const found = [path]
  for (let at = path; at !== '/'; ) {
    at = at.slice(0, at.lastIndexOf('/')) || '/'
    found.push(at)
  }
  return found
}

function cgroupV2(mount: string, path: string): MemoryCgroup {
  const folder = `${mount}${path}`
  return {
    ...shared(folder, path),
    source: 'cgroup-v2',
    currentBytes: () => readNumber(`${folder}/memory.current`),
    peakBytes: () => readNumber(`${folder}/memory.peak`),
    split() {
      const stat = readFlatKeyed(`${folder}/memory.stat`)
      const [anonBytes, fileBytes, kernelBytes] = [stat?.get('anon'), stat?.get('file'), stat?.get('kernel')]
      if (anonBytes === undefined || fileBytes === undefined) return undefined
      return { anonBytes, fileBytes, ...(kernelBytes === undefined ? {} : { kernelBytes }) }
    },
    events() {
      const events = readFlatKeyed(`${folder}/memory.events`)
      return events && { reclaims: events.get('max') ?? 0, oomKills: events.get('oom_kill') ?? 0 }
    },
    limit(bytes) {
      // A run that swaps does not fit the limit. Kernels without swap accounting lack the file.
      tryWrite(`${folder}/memory.swap.max`, '0')
      return tryWrite(`${folder}/memory.max`, String(bytes))
    },
  }
}

function cgroupV1(mount: string, path: string): MemoryCgroup {
  const folder = `${mount}${path}`
  return {
    ...shared(folder, path),
    source: 'cgroup-v1',
    currentBytes: () => readNumber(`${folder}/memory.usage_in_bytes`),
    peakBytes: () => readNumber(`${folder}/memory.max_usage_in_bytes`),
    split() {
      const stat = readFlatKeyed(`${folder}/memory.stat`)
      const [anonBytes, fileBytes] = [stat?.get('total_rss'), stat?.get('total_cache')]
      if (anonBytes === undefined || fileBytes === undefined) return undefined
      const kernelBytes = readNumber(`${folder}/memory.kmem.usage_in_bytes`)
      return { anonBytes, fileBytes, ...(kernelBytes === undefined ? {} : { kernelBytes }) }
    },
    events() {
      const oomKills = readFlatKeyed(`${folder}/memory.oom_control`)?.get('oom_kill')
      const failures = readNumber(`${folder}/memory.failcnt`)
      if (failures === undefined || oomKills === undefined) return undefined
      // With equal limits, the one on memory and swap together is reached first, and only its counter rises.
      return { reclaims: failures + (readNumber(`${folder}/memory.memsw.failcnt`) ?? 0), oomKills }
    },
    limit(bytes) {
      const done = tryWrite(`${folder}/memory.limit_in_bytes`, String(bytes))
      tryWrite(`${folder}/memory.memsw.limit_in_bytes`, String(bytes))
      return done
    },
  }
}

function shared(
  folder: string,
  path: string,
): Pick<MemoryCgroup, 'folder' | 'path' | 'joinFile' | 'members' | 'remove'> {
  const joinFile = `${folder}/cgroup.procs`
  return {
    folder,
    path,
    joinFile,
    members: () =>
      (readText(joinFile) ?? '')
        .split('\n')
        .map(parseInteger)
        .filter((pid) => pid !== undefined),
    remove: () => removeCgroup(folder),
  }
}

function tryWrite(path: string, text: string): boolean {
  try {
    writeFileSync(path, text)
    return true
  } catch {
    return false
  }
}
