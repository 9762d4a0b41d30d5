// Finds the memory cgroup of a process: the hierarchy with the memory controller, its mount point
// (proc_pid_mountinfo(5), cgroups(7)), and readers for its files.

import { readFileSync, readdirSync, rmdirSync } from 'node:fs'
import { controllerPath, readCgroup, unifiedPath } from './cgroup.ts'
import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT } from './read.ts'

export interface Mount {
  readonly folder: string
  /** The part of the hierarchy that is mounted there: '/' except in a container that sees the host's hierarchy. */
  readonly root: string
}

/** The memory cgroup of a process. This user may lack access to its folder, and on v2 the controller may be disabled there. */
export interface CgroupLocation {
  readonly version: 1 | 2
  /** The mount point of the hierarchy. */
  readonly mount: string
  /** Path below the mount point, '/' for the mount point itself. */
  readonly path: string
  /** `mount` and `path` joined, without a trailing slash. */
  readonly folder: string
}

/** `unsupported` when no hierarchy with a memory controller is mounted. */
export function findMemoryCgroup(pid: Pid, root: string = PROC_ROOT): ProcResult<CgroupLocation> {
  const lines = readCgroup(pid, root)
  if (!lines.ok) return lines
  const v1 = controllerPath(lines.value, 'memory')
  const version = v1 === undefined ? 2 : 1
  const mountinfo = `${root}/self/mountinfo`
  const mount = findMount(readText(mountinfo) ?? '', version)
  if (mount === undefined) return { ok: false, reason: 'unsupported', path: mountinfo }
  const path = belowMount(mount, v1 ?? unifiedPath(lines.value) ?? '/')
  return { ok: true, value: { version, mount: mount.folder, path, folder: cgroupFolder(mount.folder, path) } }
}

/** Absolute folder of the cgroup at `path` below `mount`. */
export function cgroupFolder(mount: string, path: string): string {
  return `${mount}${path}`.replace(/\/$/, '')
}

/** Mount point of the hierarchy with the memory controller, from the text of mountinfo. */
export function findMount(mountinfo: string, version: 1 | 2): Mount | undefined {
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ')
    const fields = before?.split(' ') ?? []
    const [type, , options] = after?.split(' ') ?? []
    const matches =
      version === 2 ? type === 'cgroup2' : type === 'cgroup' && (options ?? '').split(',').includes('memory')
    if (matches && fields[3] !== undefined && fields[4] !== undefined)
      return { folder: unescapeMount(fields[4]), root: unescapeMount(fields[3]) }
  }
  return undefined
}

function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/** A path from /proc/<pid>/cgroup, relative to the mount point. */
export function belowMount(mount: Mount, path: string): string {
  const inside = mount.root !== '/' && path.startsWith(mount.root) ? path.slice(mount.root.length) : path
  return inside === '' ? '/' : inside
}

/** Returns true when this v2 cgroup enables the memory controller for its children. */
export function delegatesMemory(folder: string): boolean {
  return (readText(`${folder}/cgroup.subtree_control`) ?? '').split(/\s+/).includes('memory')
}

/** Returns undefined when the cgroup is gone or this kernel has no such file; callers report which figure is absent. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** The number in a single-value file. */
export function readNumber(path: string): number | undefined {
  return parseInteger((readText(path) ?? '').trim())
}

/** The values of a file with `key number` lines ("flat keyed" in cgroup-v2.rst), such as memory.stat. */
export function readFlatKeyed(path: string): Map<string, number> | undefined {
  const text = readText(path)
  if (text === undefined) return undefined
  const values = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [key, value] = line.split(' ')
    const number = parseInteger(value ?? '')
    if (key !== undefined && number !== undefined) values.set(key, number)
  }
  return values
}

/** Returns true when the cgroup is gone afterwards; one with living members cannot be removed. */
export function removeCgroup(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Removes empty child cgroups named `<prefix><pid>-…` when the process `<pid>`, which created them, has ended. */
export function sweepCgroups(folder: string, prefix: string): void {
  let names: string[]
  try {
    names = readdirSync(folder).filter((name) => name.startsWith(prefix))
  } catch {
    return // no access for this user, so this user created none there
  }
  for (const name of names) {
    const pid = /^(\d+)-/.exec(name.slice(prefix.length))?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) removeCgroup(`${folder}/${name}`)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
