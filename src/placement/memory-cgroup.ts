// A separate memory cgroup for a worker's process, where byre may create one: the kernel then limits the process and its
// descendants to `memoryMax`, and counts the kills. Loaded with the first process.
//
// Root may write every cgroup, and systemd marks a delegated cgroup only for its own use, so root cannot detect which cgroup
// is delegated. Under root the unit must declare it (Delegate=memory and Environment=BYRE_CGROUP=own). For any other user, a
// writable cgroup is a delegated one.

import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import {
  findMemoryCgroup,
  delegatesMemory,
  readNumber,
  readText,
  removeCgroup,
  sweepCgroups,
} from '../procfs/memory-controller.ts'
import type { CgroupLocation } from '../procfs/memory-controller.ts'
import { readStat } from '../procfs/stat.ts'

/** The kernel's figures for one run. */
export interface CgroupMemory {
  readonly path: string
  readonly limitBytes: number
  /** Includes the page cache; at most the limit. */
  readonly peakBytes?: number
}

export interface MemoryCgroup {
  /** Moves the process in; memory that it allocated before stays charged to the previous cgroup. */
  add(pid: number): void
  /** Returns what was counted, and removes the cgroup unless child processes of the process are left in it. Call once, when
   *  the process has ended. */
  end(): CgroupMemory
  /** Removes the cgroup; call when they have ended. */
  remove(): void
}

export interface MemoryCgroups {
  /** Returns undefined where none can be created, which is logged once. */
  open(worker: string, limitBytes: number): MemoryCgroup | undefined
}

const FILES = {
  1: { limit: 'memory.limit_in_bytes', peak: 'memory.max_usage_in_bytes' },
  2: { limit: 'memory.max', peak: 'memory.peak' },
} as const

export function createMemoryCgroups(log: Logger): MemoryCgroups {
  let base: CgroupLocation | string | undefined
  let runs = 0
  const usableBase = (): CgroupLocation | undefined => {
    if (base !== undefined) return typeof base === 'string' ? undefined : base
    base = prepare()
    if (typeof base === 'string') {
      log.info(
        { event: 'no-memory-cgroup', why: base },
        `memoryMax limits only the V8 heap of processes: ${base}`,
      )
      return undefined
    }
    log.info(
      { event: 'memory-cgroup', version: base.version, folder: base.folder },
      'memoryMax limits processes by cgroup',
    )
    sweepCgroups(base.folder, 'byre-')
    return base
  }
  return {
    open(worker, limitBytes) {
      const parent = usableBase()
      if (parent === undefined) return undefined
      try {
        return openCgroup(parent, `byre-${process.pid}-${worker}-${++runs}`, limitBytes, log)
      } catch (error) {
        log.warn(
          { event: 'memory-cgroup-failed', worker, ...describeThrown(error) },
          `cannot create a cgroup for '${worker}'`,
        )
        return undefined
      }
    },
  }
}

/** The folder in which workers' cgroups are created, or the reason why none can be created. */
function prepare(): CgroupLocation | string {
  const own = ownCgroup()
  if (own === undefined) return 'there is no memory controller'
  const declared = process.env['BYRE_CGROUP']
  if (process.geteuid?.() === 0 && declared !== 'own')
    return 'as root, BYRE_CGROUP=own must declare that the cgroup is delegated to this unit'
  try {
    accessSync(own.folder, constants.W_OK)
    if (own.version === 2) divide(own.folder)
    return own
  } catch (error) {
    return `${own.folder} is not delegated: ${describeThrown(error).message}`
  }
}

function ownCgroup(): CgroupLocation | undefined {
  const place = findMemoryCgroup('self')
  if (!place.ok) return undefined
  const { version, folder } = place.value
  const has =
    version === 1
      ? existsSync(join(folder, FILES[1].limit))
      : (readText(join(folder, 'cgroup.controllers')) ?? '').split(/\s+/).includes('memory')
  return has ? place.value : undefined
}

/** Passes over the members of the cgroup, since another process may enter it while they are moved. */
const MOVES_MAX = 3

/** cgroup v2 enables controllers for children only while the parent has no processes: the supervisor moves into a child
 *  cgroup, with the processes that it has already started, such as one without memoryMax. */
function divide(folder: string): void {
  if (delegatesMemory(folder)) return
  const leaf = join(folder, 'byre-supervisor')
  for (let moves = 0; moves < MOVES_MAX; moves++) {
    const { own, foreign } = sortMembers(readText(join(folder, 'cgroup.procs')) ?? '', process.pid, parentOf)
    if (foreign.length > 0)
      throw new Error(`it contains processes that byre did not start: ${foreign.join(', ')}`)
    if (own.length === 0) break
    mkdirSync(leaf, { recursive: true })
    for (const pid of own) moveInto(leaf, pid)
  }
  writeFileSync(join(folder, 'cgroup.subtree_control'), '+memory')
}

function parentOf(pid: number): number | undefined {
  const stat = readStat(pid)
  return stat.ok ? stat.value.ppid : undefined
}

function moveInto(leaf: string, pid: number): void {
  try {
    writeFileSync(join(leaf, 'cgroup.procs'), String(pid))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // ESRCH: it has ended
  }
}

/** Splits the text of cgroup.procs into `self` with its descendants, and others. Processes that have ended are left out. */
export function sortMembers(
  procs: string,
  self: number,
  parentOf: (pid: number) => number | undefined,
): { readonly own: readonly number[]; readonly foreign: readonly number[] } {
  const own: number[] = []
  const foreign: number[] = []
  for (const pid of procs.split('\n').filter(Boolean).map(Number)) {
    let at: number | undefined = pid
    while (at !== undefined && at !== self && at > 1) at = parentOf(at)
    if (at === self) own.push(pid)
    else if (pid === 1 || parentOf(pid) !== undefined) foreign.push(pid)
  }
  return { own, foreign }
}

function openCgroup(
  { version, folder }: CgroupLocation,
  name: string,
  limitBytes: number,
  log: Logger,
): MemoryCgroup {
  const path = join(folder, name)
  const files = FILES[version]
  mkdirSync(path)
  writeFileSync(join(path, files.limit), String(limitBytes))
  return {
    add(pid) {
      try {
        writeFileSync(join(path, 'cgroup.procs'), String(pid))
      } catch (error) {
        log.warn(
          { event: 'memory-cgroup-failed', path, pid, ...describeThrown(error) },
          'a process has no memory limit',
        )
      }
    },
    end() {
      const peakBytes = readNumber(join(path, files.peak))
      removeCgroup(path)
      return {
        path,
        limitBytes,
        ...(peakBytes === undefined ? {} : { peakBytes }),
      }
    },
    remove: () => void removeCgroup(path),
  }
}
