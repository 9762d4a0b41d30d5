// What the files of a unit say while systemd, for a mask, does not look at them.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { WORKERS_KEY } from './unit-text.ts'

/** Where files of services are looked for, first first (systemd.unit(5)), but for the place of swaps' masks. */
const FOLDERS = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
]

/** Somebody else's mask, which unmasking by a swap does not lift: `systemctl mask`, or a link made by hand. */
export function isMaskedByHand(unit: string): boolean {
  for (const folder of FOLDERS) {
    const path = join(folder, unit)
    if (readlinkIfThere(path) === '/dev/null') return true
    if (readIfThere(path) !== undefined) return false
  }
  return false
}

/** A boot would start `unit`, by the links `systemctl enable` makes: of a masked unit systemd says only that it is masked. */
export function isEnabledOnDisk(unit: string): boolean {
  const [folder] = FOLDERS as [string]
  return namesIn(folder)
    .filter((name) => name.endsWith('.wants') || name.endsWith('.requires'))
    .some((name) => readlinkIfThere(join(folder, name, unit)) !== undefined)
}

/** The services in Conflicts= of the file of `unit` and of its drop-ins; none when there is no file. */
export function readUnitConflicts(unit: string): string[] {
  const file = FOLDERS.map((folder) => readIfThere(join(folder, unit))).find((text) => text !== undefined)
  return conflictsIn(unit, [file ?? '', ...readDropIns(unit)])
}

/** Whom the file of `unit` was made for by `byre units`; undefined when it does not say. */
export function readUnitWorkers(unit: string): string[] | undefined {
  const text = FOLDERS.map((folder) => readIfThere(join(folder, unit))).find((file) => file !== undefined)
  const value = text === undefined ? undefined : WORKERS.exec(text)?.[1]
  return value?.split(' ').filter(Boolean)
}

const WORKERS = new RegExp(`^${WORKERS_KEY}=(.*)$`, 'm')

/** By systemd's rules: an empty assignment forgets those before it, a backslash at the end of a line continues it. Pure. */
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

/** Of a unit that is no instance: what else there is means nothing in its Conflicts=. */
function resolveSpecifiers(unit: string, name: string): string {
  const prefix = unit.replace(/\.service$/, '')
  const known: Readonly<Record<string, string>> = { '%': '%', n: unit, N: prefix, p: prefix }
  return name.replaceAll(/%(.)/g, (whole, letter: string) => known[letter] ?? whole)
}

/** Of the unit, of its prefixes at each dash and of all services; one of the same name in an earlier folder hides a later one. */
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
    return undefined // not there, or a folder: systemd says what is wrong with a unit it loads
  }
}

function readlinkIfThere(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined // not there, or no link
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
