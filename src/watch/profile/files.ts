// Profiles on disk: at most ten of each kind and label in the state folder; the oldest are deleted. Profiles that byre takes by
// itself have separate labels, so that they never replace one that a user requested.

import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureFolder } from '../../base/places.ts'

export interface ProfileFolder {
  /** The state folder of the herd. */
  readonly folder: string
  /** Part of the file names. */
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
  const target = join(folder, 'profiles')
  ensureFolder(target)
  const stamp = new Date(nowMs).toISOString().replace(/[:.]/g, '-')
  const alike = `${label}.${kind === 'cpu' ? 'cpuprofile' : 'heapprofile'}`
  const file = join(target, `${stamp}.${alike}`)
  // A stamp has no dot; a label may.
  const old = readdirSync(target).filter((name) => name.slice(name.indexOf('.') + 1) === alike)
  for (const name of old.toSorted().slice(0, Math.max(0, old.length - KEPT + 1)))
    rmSync(join(target, name), { force: true })
  writeFileSync(file, text, { mode: 0o600 })
  return file
}
