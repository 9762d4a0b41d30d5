// Reads the files of masked units, which systemd does not show.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { WORKERS_KEY } from './unit-text.ts'

/** Folders of unit files in the order of priority (systemd.unit(5)), without the folder of the swaps' masks. */
const FOLDERS = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
]

/** Whether the operator has masked the unit, with `systemctl mask` or a link; a swap does not remove such a mask. */
export function isMaskedByHand(unit: string): boolean {
  for (const folder of FOLDERS) {
    const path = join(folder, unit)
    if (readlinkIfThere(path) === '/dev/null') return true
    if (readIfThere(path) !== undefined) return false
  }
  return false
}

/** Whether `unit` would start at boot, by the links of `systemctl enable`: of a masked unit systemd reports only
 *  that it is masked. */
export function isEnabledOnDisk(unit: string): boolean {
  const [folder] = FOLDERS as [string]
  return namesIn(folder)
    .filter((name) => name.endsWith('.wants') || name.endsWith('.requires'))
    .some((name) => readlinkIfThere(join(folder, name, unit)) !== undefined)
}

/** The services in Conflicts= of the unit's file and its drop-ins; empty when there is no file. */
export function readUnitConflicts(unit: string): string[] {
  const file = FOLDERS.map((folder) => readIfThere(join(folder, unit))).find((text) => text !== undefined)
  return conflictsIn(unit, [file ?? '', ...readDropIns(unit)])
}

/** The workers for which `byre units` made the file; undefined when the file does not say. */
export function readUnitWorkers(unit: string): string[] | undefined {
  const text = FOLDERS.map((folder) => readIfThere(join(folder, unit))).find((file) => file !== undefined)
  const value = text === undefined ? undefined : WORKERS.exec(text)?.[1]
  return value?.split(' ').filter(Boolean)
}

const WORKERS = new RegExp(`^${WORKERS_KEY}=(.*)$`, 'm')

/** Parses Conflicts= by systemd's rules: an empty assignment clears earlier ones, a backslash at the end of a line
 *  continues it. Pure. */
export function conflictsIn(unit: string, texts: readonly string[]): string[] {
  let found: string[] = []
  for (const text of texts) {
    const lines = text.replaceAll(/^\s*[#;].*\n/gm, '').replaceAll(/\\\n/g, ' ')
    for (const [, value] of lines.matchAll(/^\s*Conflicts\s*=(.*)$/gm)) {
      const names = value!.split(/\s+/).filter(Boolean)
      found = names.length === 0 ? [] : [...found, ...names.map((name) => resolveSpecifiers(unit, name))]
    }
  }
  return [...new Set(found)].filter((name) => name.endsWith('.service'))
}

/** Resolves the specifiers of a unit that is not an instance; others have no meaning in Conflicts=. */
function resolveSpecifiers(unit: string, name: string): string {
  const prefix = unit.replace(/\.service$/, '')
  const known: Readonly<Record<string, string>> = { '%': '%', n: unit, N: prefix, p: prefix }
  return name.replaceAll(/%(.)/g, (whole, letter: string) => known[letter] ?? whole)
}

/** Drop-ins of the unit, of its prefixes at each dash and of all services; a file of the same name in an earlier
 *  folder hides a later one. */
function readDropIns(unit: string): string[] {
  const prefixes = [...unit.matchAll(/-/g)].map(({ index }) => `${unit.slice(0, index + 1)}.service`)
  const texts = new Map<string, string>()
  for (const name of [unit, ...prefixes.toReversed(), 'service'])
    for (const folder of FOLDERS) {
      const dir = join(folder, `${name}.d`)
      for (const file of namesIn(dir))
        if (file.endsWith('.conf') && !texts.has(file)) texts.set(file, readIfThere(join(dir, file)) ?? '')
    }
  return [...texts].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text)
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined // missing, or a folder: systemd reports what is wrong when it loads the unit
  }
}

function readlinkIfThere(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined // missing, or not a link
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
