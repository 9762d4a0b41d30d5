// Profiles on disk: ten of each kind and label in the state folder, the oldest go first. What byre keeps by itself has a
// label of its own, so that it never costs one that somebody asked for.

import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureFolder } from '../../base/places.ts'

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
  ensureFolder(home)
  const stamp = new Date(nowMs).toISOString().replace(/[:.]/g, '-')
  const alike = `${label}.${kind === 'cpu' ? 'cpuprofile' : 'heapprofile'}`
  const file = join(home, `${stamp}.${alike}`)
  // A stamp has no dot; a label may.
  const old = readdirSync(home).filter((name) => name.slice(name.indexOf('.') + 1) === alike)
  for (const name of old.toSorted().slice(0, Math.max(0, old.length - KEPT + 1)))
    rmSync(join(home, name), { force: true })
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
