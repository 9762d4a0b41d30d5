// A memory cgroup of its own for a worker's process, where byre may make one: the kernel then holds the process, and what it
// starts, to `memoryMax`, and says so when it kills. Loaded with the first process.
//
// Whether a cgroup is byre's to divide cannot be seen by root, who may write them all: systemd marks a delegated one for
// itself alone. So for root the unit says it (Delegate=memory and Environment=BYRE_CGROUP=own); for anybody else a cgroup
// that can be written is one that was delegated.

import { accessSync, constants, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeThrown } from '../base/errors.ts'
import type { Logger } from '../log/logger.ts'
import {
  findMemoryPlace,
  handsDownMemory,
  readNumber,
  readText,
  removeCgroup,
  sweepCgroups,
} from '../procfs/memory-controller.ts'
import type { MemoryPlace } from '../procfs/memory-controller.ts'
import { readStat } from '../procfs/stat.ts'

/** What the kernel counted for one run. */
export interface CgroupMemory {
  readonly path: string
  readonly limitBytes: number
  /** Page cache included; stops at the limit. */
  readonly peakBytes?: number
}

export interface MemoryCgroup {
  /** Moves the process in; what it allocated before stays where it was charged. */
  add(pid: number): void
  /** What was counted; removes the cgroup. Once, when the process is gone. */
  end(): CgroupMemory
}

export interface MemoryCgroups {
  /** Undefined where none can be made; the log says so once. */
  open(worker: string, limitBytes: number): MemoryCgroup | undefined
}

const FILES = {
  1: { limit: 'memory.limit_in_bytes', peak: 'memory.max_usage_in_bytes' },
  2: { limit: 'memory.max', peak: 'memory.peak' },
} as const

export function createMemoryCgroups(log: Logger): MemoryCgroups {
  let base: MemoryPlace | string | undefined
  let runs = 0
  const mayMake = (): MemoryPlace | undefined => {
    if (base !== undefined) return typeof base === 'string' ? undefined : base
    base = prepare()
    if (typeof base === 'string') {
      log.info(
        { event: 'no-memory-cgroup', why: base },
        `memoryMax bounds the V8 heap of processes, and nothing else of them: ${base}`,
      )
      return undefined
    }
    log.info(
      { event: 'memory-cgroup', version: base.version, folder: base.folder },
      'memoryMax bounds processes by cgroup',
    )
    sweepCgroups(base.folder, 'byre-')
    return base
  }
  return {
    open(worker, limitBytes) {
      const made = mayMake()
      if (made === undefined) return undefined
      try {
        return openCgroup(made, `byre-${process.pid}-${worker}-${++runs}`, limitBytes, log)
      } catch (error) {
        log.warn(
          { event: 'memory-cgroup-failed', worker, ...describeThrown(error) },
          `no cgroup for '${worker}'`,
        )
        return undefined
      }
    },
  }
}

/** Where workers' cgroups are made, or why nowhere. */
function prepare(): MemoryPlace | string {
  const own = ownCgroup()
  if (own === undefined) return 'there is no memory controller'
  const asked = process.env['BYRE_CGROUP']
  if (process.geteuid?.() === 0 && asked !== 'own')
    return 'as root, BYRE_CGROUP=own must say that the cgroup is delegated to this unit'
  try {
    accessSync(own.folder, constants.W_OK)
    if (own.version === 2) divide(own.folder)
    return own
  } catch (error) {
    return `${own.folder} is not delegated: ${describeThrown(error).message}`
  }
}

function ownCgroup(): MemoryPlace | undefined {
  const place = findMemoryPlace('self')
  if (!place.ok) return undefined
  const { version, folder } = place.value
  const has =
    version === 1
      ? existsSync(join(folder, FILES[1].limit))
      : (readText(join(folder, 'cgroup.controllers')) ?? '').split(/\s+/).includes('memory')
  return has ? place.value : undefined
}

/** A process may come into the cgroup while its members are moved. */
const MOVES_MAX = 3

/** v2 gives controllers to the children of a cgroup only when no process is in it: the supervisor moves into a child, and
 *  with it what it started before, such as a process without memoryMax. */
function divide(folder: string): void {
  if (handsDownMemory(folder)) return
  const leaf = join(folder, 'byre-supervisor')
  for (let moves = 0; moves < MOVES_MAX; moves++) {
    const { own, foreign } = sortMembers(readText(join(folder, 'cgroup.procs')) ?? '', process.pid, parentOf)
    if (foreign.length > 0) throw new Error(`processes that are not byre's are in it: ${foreign.join(', ')}`)
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
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error // it has ended
  }
}

/** The members in a text of cgroup.procs: `self` and its descendants, and others. Who has ended meanwhile is neither. */
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
  { version, folder }: MemoryPlace,
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
          'a process is not bounded',
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
  }
}
