// A memory cgroup of its own for a worker's process, where byre may make one: the kernel then holds the process, and what it
// starts, to `memoryMax`, and says so when it kills. Loaded with the first process.
//
// Whether a cgroup is byre's to divide cannot be seen by root, who may write them all: systemd marks a delegated one for
// itself alone. So for root the unit says it (Delegate=memory and Environment=BYRE_CGROUP=own); for anybody else a cgroup
// that can be written is one that was delegated.

import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describeThrown } from '../../base/errors.ts'
import type { Logger } from '../../log/logger.ts'
import { controllerPath, readCgroup, unifiedPath } from '../../procfs/cgroup.ts'

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

interface Base {
  readonly version: 1 | 2
  readonly folder: string
}

const ROOT = '/sys/fs/cgroup'
const FILES = {
  1: { limit: 'memory.limit_in_bytes', peak: 'memory.max_usage_in_bytes' },
  2: { limit: 'memory.max', peak: 'memory.peak' },
} as const

export function createMemoryCgroups(log: Logger, root: string = ROOT): MemoryCgroups {
  let base: Base | string | undefined
  let runs = 0
  const mayMake = (): Base | undefined => {
    if (base !== undefined) return typeof base === 'string' ? undefined : base
    base = prepare(root)
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
    sweep(base.folder)
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
function prepare(root: string): Base | string {
  const own = ownCgroup(root)
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

function ownCgroup(root: string): Base | undefined {
  const lines = readCgroup('self')
  if (!lines.ok) return undefined
  const one = controllerPath(lines.value, 'memory')
  if (one !== undefined) {
    const folder = join(root, 'memory', one)
    return existsSync(join(folder, FILES[1].limit)) ? { version: 1, folder } : undefined
  }
  const two = unifiedPath(lines.value)
  if (two === undefined) return undefined
  const folder = join(root, two)
  const controllers = readText(join(folder, 'cgroup.controllers')) ?? ''
  return controllers.split(/\s+/).includes('memory') ? { version: 2, folder } : undefined
}

/** v2 gives controllers to the children of a cgroup only when no process is in it: the supervisor moves into a child. */
function divide(folder: string): void {
  const control = join(folder, 'cgroup.subtree_control')
  if ((readText(control) ?? '').split(/\s+/).includes('memory')) return
  const leaf = join(folder, 'byre-supervisor')
  mkdirSync(leaf, { recursive: true })
  writeFileSync(join(leaf, 'cgroup.procs'), String(process.pid))
  writeFileSync(control, '+memory')
}

function openCgroup({ version, folder }: Base, name: string, limitBytes: number, log: Logger): MemoryCgroup {
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
      remove(path)
      return {
        path,
        limitBytes,
        ...(peakBytes === undefined ? {} : { peakBytes }),
      }
    },
  }
}

/** One that is not empty (a grandchild lives on) is left, and taken by a later sweep. */
function remove(path: string): void {
  try {
    rmdirSync(path)
  } catch {}
}

/** Takes what supervisors left that are gone. */
function sweep(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^byre-(\d+)-/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) remove(join(folder, name))
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // an older kernel has no such file
  }
}

function readNumber(path: string): number | undefined {
  const text = readText(path)?.trim() ?? ''
  return /^\d{1,16}$/.test(text) ? Number(text) : undefined
}
