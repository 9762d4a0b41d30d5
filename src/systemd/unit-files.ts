// What the file of a unit says while systemd, for a mask, does not look at it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where files of services are looked for, first first (systemd.unit(5)), but for the places of masks. */
const FOLDERS = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
]

/** The services in Conflicts= of the file of `unit` and of its drop-ins; none when there is no file. */
export function readUnitConflicts(unit: string): string[] {
  const file = FOLDERS.map((folder) => readIfThere(join(folder, unit))).find((text) => text !== undefined)
  const dropIns = FOLDERS.flatMap((folder) => {
    const dir = join(folder, `${unit}.d`)
    return namesIn(dir).flatMap((name) =>
      name.endsWith('.conf') ? [readIfThere(join(dir, name)) ?? ''] : [],
    )
  })
  const found = [file ?? '', ...dropIns].flatMap((text) =>
    [...text.matchAll(/^Conflicts=(.*)$/gm)].map(([, value]) => value!),
  )
  return [...new Set(found.join(' ').split(/\s+/))].filter((name) => name.endsWith('.service'))
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // not there, or a folder: systemd says what is wrong with a unit it loads
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
