// Where the kernel accounts the memory of a process: the hierarchy that has the memory controller, as mountinfo says it
// is mounted (proc_pid_mountinfo(5), cgroups(7)), and how its files read.

import { readFileSync, readdirSync, rmdirSync } from 'node:fs'
import { controllerPath, readCgroup, unifiedPath } from './cgroup.ts'
import { parseInteger } from './fields.ts'
import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT } from './read.ts'

export interface Mount {
  readonly folder: string
  /** The part of the hierarchy that is mounted there: '/' unless in a container that sees the host's. */
  readonly top: string
}

/** The memory cgroup a process is in. Its folder may still be closed to this user, or v2 without the controller. */
export interface MemoryPlace {
  readonly version: 1 | 2
  /** The mount point of the hierarchy. */
  readonly mount: string
  /** Below the mount point, '/' for its top. */
  readonly path: string
  /** Both together, without a slash at the end. */
  readonly folder: string
}

export function findMemoryPlace(pid: Pid, root: string = PROC_ROOT): ProcResult<MemoryPlace> {
  const lines = readCgroup(pid, root)
  if (!lines.ok) return lines
  const v1 = controllerPath(lines.value, 'memory')
  const version = v1 === undefined ? 2 : 1
  const mountinfo = `${root}/self/mountinfo`
  const mount = findMount(readText(mountinfo) ?? '', version)
  if (mount === undefined) return { ok: false, reason: 'unsupported', path: mountinfo }
  const path = belowMount(mount, v1 ?? unifiedPath(lines.value) ?? '/')
  return { ok: true, value: { version, mount: mount.folder, path, folder: folderOf(mount.folder, path) } }
}

/** Path of a cgroup of that hierarchy as the file system shows it. */
export function folderOf(mount: string, path: string): string {
  return `${mount}${path}`.replace(/\/$/, '')
}

/** The memory hierarchy's mount point in the text of mountinfo. */
export function findMount(mountinfo: string, version: 1 | 2): Mount | undefined {
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ')
    const fields = before?.split(' ') ?? []
    const [type, , options] = after?.split(' ') ?? []
    const fits =
      version === 2 ? type === 'cgroup2' : type === 'cgroup' && (options ?? '').split(',').includes('memory')
    if (fits && fields[3] !== undefined && fields[4] !== undefined)
      return { folder: unescapeMount(fields[4]), top: unescapeMount(fields[3]) }
  }
  return undefined
}

function unescapeMount(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/** A path as /proc/<pid>/cgroup tells it, seen from the mount point. */
export function belowMount(mount: Mount, path: string): string {
  const inside = mount.top !== '/' && path.startsWith(mount.top) ? path.slice(mount.top.length) : path
  return inside === '' ? '/' : inside
}

/** True when the children of this v2 cgroup have the memory controller. */
export function handsDownMemory(folder: string): boolean {
  return (readText(`${folder}/cgroup.subtree_control`) ?? '').split(/\s+/).includes('memory')
}

/** Undefined when it is gone with its cgroup, or not in this kernel: the callers say which figure is absent. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** A file of one number. */
export function readNumber(path: string): number | undefined {
  return parseInteger((readText(path) ?? '').trim())
}

/** A file of lines `key number`, such as memory.stat. */
export function readFlat(path: string): Map<string, number> | undefined {
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

/** True when the cgroup is gone; one with living members stays. */
export function removeCgroup(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Removes the empty children called `<prefix><pid>-…` whose maker is dead; one with members waits for a later sweep. */
export function sweepCgroups(folder: string, prefix: string): void {
  let names: string[]
  try {
    names = readdirSync(folder).filter((name) => name.startsWith(prefix))
  } catch {
    return // closed to this user, who then made none there
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
