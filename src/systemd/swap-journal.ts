// What a swap has in mind, on disk before it is done: whoever finds it after a kill or a reboot can end the swap in one of
// its two states. One file for each group, replaced as a whole and synced.

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

/** Only root may write here: `byre swap` does as root what it reads. */
const SWAP_FOLDER = '/var/lib/byre-swap'

/** How a unit was before the swap; what a rollback restores. */
export interface Before {
  readonly unit: string
  /** It ran, or was about to. */
  readonly active: boolean
  /** It was on its way up, or between two attempts: it may never have arrived. */
  readonly arriving?: true
  readonly enabled: boolean
  readonly masked: boolean
}

export interface SideFigures {
  readonly units: number
  /** Of those that run, their whole process trees. Absent when some process may not be read (`unreadable`). */
  readonly pssBytes?: number
  readonly anonBytes?: number
  /** Processes whose memory only root may read; absent when there are none. */
  readonly unreadable?: number
  readonly processes: number
  readonly restarts: number
  /** Of the one that runs longest. */
  readonly upMs: number
}

/** `switching`, `starting` and `watching` are rolled back by a resume, `settling` is finished, `rolling-back` goes on. */
export type SwapPhase = 'switching' | 'starting' | 'watching' | 'settling' | 'rolling-back'

export interface SwapRecord {
  readonly version: 1
  readonly herd: string
  readonly group: string
  readonly to: 'supervised' | 'individual'
  /** Ms since the epoch. */
  readonly startedAt: number
  readonly phase: SwapPhase
  /** Why it is rolled back. */
  readonly why?: string
  /** The side that shall run, and the one that shall not. */
  readonly target: readonly Before[]
  readonly other: readonly Before[]
  /** Units of the target that stay down. */
  readonly down?: readonly string[]
  readonly before: SideFigures
}

export function writeSwap(record: SwapRecord, root: string = SWAP_FOLDER): void {
  writeWhole(join(root, record.herd), `${record.group}.json`, record)
}

/** How the side that a swap put aside was, for the way back. */
export interface Aside {
  readonly version: 1
  readonly units: readonly Before[]
}

/** Beside the journals, so that a folder without journals is empty. */
function asideOf(herd: string, group: string, side: SwapRecord['to'], root: string): [string, string] {
  return [join(root, `${herd}.aside`), `${group}.${side}.json`]
}

export function writeAside({ herd, group, to, other }: SwapRecord, root: string = SWAP_FOLDER): void {
  const aside: Aside = { version: 1, units: other }
  writeWhole(...asideOf(herd, group, to === 'supervised' ? 'individual' : 'supervised', root), aside)
}

/** Units of `side` as they were when it was put aside; none when it never was, or when that cannot be read. */
export function readAside(
  herd: string,
  group: string,
  side: SwapRecord['to'],
  root: string = SWAP_FOLDER,
): readonly Before[] {
  const value = readJson(join(...asideOf(herd, group, side, root)))
  return isRecord(value) && value['version'] === 1 && Array.isArray(value['units'])
    ? (value['units'] as Before[])
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
    rmSync(`${path}.new`, { force: true }) // a full disk: the room is somebody else's
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

/** The groups of `herd` whose swap has not ended. */
export function openSwaps(herd: string, root: string = SWAP_FOLDER): string[] {
  return namesIn(join(root, herd))
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
}

/** Throws BYRE_SWAP_JOURNAL when it cannot be understood. */
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
    `Cannot resume the swap of '${path}': it is not a journal of this version. Look at the units with systemctl, put the masks in /etc/systemd/system.control right, and remove the file.`,
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

/** A rename is only on disk once its folder is. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
