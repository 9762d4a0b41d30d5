// Profiles on disk: ten of all kinds together in the state folder, the oldest go first.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface ProfileFolder {
  /** Of the herd's state. */
  readonly folder: string
  /** In the names of the files. */
  readonly label: string
}

const KEPT = 10

/** Writes the profile and returns its path. Names sort by time. */
export function keepProfile(
  { folder, label }: ProfileFolder,
  kind: 'cpu' | 'heap',
  text: string,
  nowMs: number,
): string {
  const home = join(folder, 'profiles')
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const stamp = new Date(nowMs).toISOString().replace(/[:.]/g, '-')
  const file = join(home, `${stamp}.${label}.${kind === 'cpu' ? 'cpuprofile' : 'heapprofile'}`)
  const old = readdirSync(home).filter((name) => /\.(?:cpu|heap)profile$/.test(name))
  for (const name of old.toSorted().slice(0, Math.max(0, old.length - KEPT + 1)))
    rmSync(join(home, name), { force: true })
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
