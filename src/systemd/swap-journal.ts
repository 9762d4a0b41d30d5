// The journal of a swap, written before each step: after a kill or a reboot a resume can bring the swap to one of its
// two states. One file per group, replaced atomically and synced.

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { isRecord } from '../base/check.ts'
import { ByreError } from '../base/errors.ts'

/** Writable by root only, because `byre swap` acts as root on the contents. */
const SWAP_FOLDER = '/var/lib/byre-swap'

/** The state of a unit before the swap; a rollback restores it. */
export interface UnitBefore {
  readonly unit: string
  /** Whether the unit was running or starting. */
  readonly active: boolean
  /** The unit was starting or between two restarts, so it may never become ready. */
  readonly arriving?: true
  readonly enabled: boolean
  readonly masked: boolean
}

export interface SideFigures {
  readonly units: number
  /** PSS of the running units' process trees. Absent when the memory of a process could not be read (`unreadable`). */
  readonly pssBytes?: number
  readonly anonBytes?: number
  /** Number of processes whose memory only root may read; absent when there are none. */
  readonly unreadable?: number
  readonly processes: number
  readonly restarts: number
  /** Uptime of the unit that has run longest. */
  readonly upMs: number
}

/** A resume rolls back `switching`, `starting` and `watching`, completes `finishing` and continues `rolling-back`. */
export type SwapPhase = 'switching' | 'starting' | 'watching' | 'finishing' | 'rolling-back'

export interface SwapRecord {
  readonly version: 1
  readonly herd: string
  readonly group: string
  readonly to: 'supervised' | 'individual'
  /** Ms since the epoch. */
  readonly startedAt: number
  readonly phase: SwapPhase
  /** Why the swap is rolled back. */
  readonly why?: string
  /** The side that is to run, and the side that is to stop. */
  readonly target: readonly UnitBefore[]
  readonly other: readonly UnitBefore[]
  /** Units of the target that are not started. */
  readonly down?: readonly string[]
  readonly before: SideFigures
}

export function writeSwap(record: SwapRecord, root: string = SWAP_FOLDER): void {
  writeWhole(join(root, record.herd), `${record.group}.json`, record)
}

/** The state of the side that a swap stopped, for the swap back. */
export interface SavedSide {
  readonly version: 1
  readonly units: readonly UnitBefore[]
}

/** In a separate folder, so that the folder of a herd without journals is empty. */
function savedSidePath(herd: string, group: string, side: SwapRecord['to'], root: string): [string, string] {
  return [join(root, `${herd}.aside`), `${group}.${side}.json`]
}

export function saveSide({ herd, group, to, other }: SwapRecord, root: string = SWAP_FOLDER): void {
  const saved: SavedSide = { version: 1, units: other }
  writeWhole(...savedSidePath(herd, group, to === 'supervised' ? 'individual' : 'supervised', root), saved)
}

/** State of the units of `side` when it was stopped by a swap; empty when it never was or the file cannot be read. */
export function readSavedSide(
  herd: string,
  group: string,
  side: SwapRecord['to'],
  root: string = SWAP_FOLDER,
): readonly UnitBefore[] {
  const value = readJson(join(...savedSidePath(herd, group, side, root)))
  return isRecord(value) && value['version'] === 1 && Array.isArray(value['units'])
    ? (value['units'] as UnitBefore[])
    : []
}

function writeWhole(folder: string, name: string, value: object): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, name)
  try {
    const fd = openSync(`${path}.new`, 'w', 0o600)
    try {
      writeFileSync(fd, JSON.stringify(value, undefined, 2))
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    rmSync(`${path}.new`, { force: true }) // on a full disk, do not keep the partial file
    throw error
  }
  renameSync(`${path}.new`, path)
  syncFolder(folder)
}

export function removeSwap({ herd, group }: SwapRecord, root: string = SWAP_FOLDER): void {
  const folder = join(root, herd)
  rmSync(join(folder, `${group}.json`), { force: true })
  syncFolder(folder)
}

/** Groups of `herd` with an unfinished swap. */
export function openSwaps(herd: string, root: string = SWAP_FOLDER): string[] {
  return namesIn(join(root, herd))
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
}

/** Throws BYRE_SWAP_JOURNAL when the file is not a valid journal. */
export function readSwap(herd: string, group: string, root: string = SWAP_FOLDER): SwapRecord {
  const path = join(root, herd, `${group}.json`)
  const value = readJson(path)
  if (
    isRecord(value) &&
    value['version'] === 1 &&
    Array.isArray(value['target']) &&
    Array.isArray(value['other'])
  )
    return value as unknown as SwapRecord
  throw new ByreError(
    'BYRE_SWAP_JOURNAL',
    `Cannot resume the swap of '${path}': the file is not a journal of this version. Check the units with systemctl, correct the masks in /etc/systemd/system.control, and remove the file.`,
  )
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** A rename is durable only after its folder is synced. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
