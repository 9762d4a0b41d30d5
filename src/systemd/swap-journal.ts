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
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { isRecord } from '../base/check.ts'
import { ByreError } from '../base/errors.ts'

/** Only root may write here: `byre swap` does as root what it reads. */
export const SWAP_FOLDER = '/var/lib/byre-swap'

/** How a unit was before the swap; what a rollback restores. */
export interface Before {
  readonly unit: string
  readonly active: boolean
  readonly enabled: boolean
  readonly masked: boolean
}

export interface SideFigures {
  readonly units: number
  /** Of those that run, their whole process trees. */
  readonly pssBytes: number
  readonly anonBytes: number
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
  readonly before: SideFigures
}

export function writeSwap(record: SwapRecord, root: string = SWAP_FOLDER): void {
  const folder = join(root, record.herd)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `${record.group}.json`)
  const fd = openSync(`${path}.new`, 'w', 0o600)
  try {
    writeSync(fd, JSON.stringify(record, undefined, 2))
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.new`, path)
  syncFolder(folder)
}

export function removeSwap({ herd, group }: SwapRecord, root: string = SWAP_FOLDER): void {
  const folder = join(root, herd)
  rmSync(join(folder, `${group}.json`), { force: true })
  syncFolder(folder)
}

/** The swaps of `herd` that have not ended. Throws BYRE_SWAP_JOURNAL when one cannot be understood. */
export function readSwaps(herd: string, root: string = SWAP_FOLDER): SwapRecord[] {
  const folder = join(root, herd)
  return namesIn(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => parse(join(folder, name)))
}

function parse(path: string): SwapRecord {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    value = undefined
  }
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

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

/** A rename is only on disk once its folder is. */
function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  fsyncSync(fd)
  closeSync(fd)
}
