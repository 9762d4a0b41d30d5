// byre.floor.json: the packages each entry may load and its memory budget. It is committed and reviewed, with one block
// per entry.

import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isRecord } from '../base/check.ts'
import { ByreError, describeProblems, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/suggest.ts'

export const FLOOR_FILE = 'byre.floor.json'

/** The earliest point at which a package may be loaded, in the order of a worker's life. */
export const PHASES = ['boot', 'load', 'ready', 'first-message'] as const
export type Phase = (typeof PHASES)[number]

export interface FloorFile {
  readonly version: 1
  /** A package that retains at least this much must be on a list. @default 1 MiB */
  readonly heavyBytes: number
  readonly entries: Readonly<Record<string, FloorEntry>>
}

export interface FloorEntry {
  /** Heavy packages that may be loaded, with the phase from which they may. A listed package that is no longer
   *  loaded fails the check. */
  readonly allow: Readonly<Record<string, Phase>>
  /** Packages that may or may not be loaded, for differences between runtimes. */
  readonly may: readonly string[]
  /** Packages that must never be loaded eagerly, of any size. A name that is not installed fails the check. */
  readonly deny: readonly string[]
  /** Budgets by Node major version. */
  readonly budgets: Readonly<Record<string, Budget>>
}

export interface Budget {
  /** The calibrated floor when it was recorded. The check fails above this plus 1 % or 64 KiB, whichever is larger. */
  readonly calibratedBytes: number
  /** Upper bound for the private memory (Anonymous) of plain runs; set by hand. */
  readonly maxAnonBytes?: number
}

const DEFAULT_HEAVY_BYTES = 1024 * 1024

export function emptyFloorFile(): FloorFile {
  return { version: 1, heavyBytes: DEFAULT_HEAVY_BYTES, entries: {} }
}

export function emptyFloorEntry(): FloorEntry {
  return { allow: {}, may: [], deny: [], budgets: {} }
}

/** Reads the file; returns an empty one when it does not exist and `optional` is set. Throws BYRE_AUDIT_FLOOR_FILE
 *  with all problems. */
export function readFloorFile(path: string, optional = false): FloorFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (optional && (cause as NodeJS.ErrnoException).code === 'ENOENT') return emptyFloorFile()
    throw new ByreError(
      'BYRE_AUDIT_FLOOR_FILE',
      `Cannot read the floor file '${path}': ${(cause as NodeJS.ErrnoException).code}. Record it with byre audit --update <entry>.`,
      { cause },
    )
  }
  return parseFloorFile(text, path)
}

export function parseFloorFile(text: string, path: string): FloorFile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw floorFileError(path, [{ path: '', message: `must be valid JSON: ${(cause as Error).message}` }])
  }
  const problems: Problem[] = []
  const file = checkFile(value, (at, message) => problems.push({ path: at, message }))
  if (problems.length > 0) throw floorFileError(path, problems)
  return file
}

/** Writes keys in a fixed order and lists sorted, so that a diff shows only real changes. The file is replaced
 *  atomically. */
export function writeFloorFile(path: string, file: FloorFile): void {
  const temporaryPath = `${path}.${process.pid}`
  writeFileSync(temporaryPath, formatFloorFile(file))
  renameSync(temporaryPath, path)
}

export function formatFloorFile(file: FloorFile): string {
  const entries = sorted(file.entries, (entry) => ({
    allow: sorted(entry.allow, (phase) => phase),
    may: entry.may.toSorted(),
    deny: entry.deny.toSorted(),
    budgets: sorted(entry.budgets, (budget) => budget),
  }))
  return `${JSON.stringify({ version: 1, heavyBytes: file.heavyBytes, entries }, null, 2)}\n`
}

function sorted<T, U>(record: Readonly<Record<string, T>>, map: (value: T) => U): Record<string, U> {
  const keys = Object.keys(record).toSorted()
  return Object.fromEntries(keys.map((key) => [key, map(record[key]!)]))
}

type Complain = (path: string, message: string) => void

function checkFile(value: unknown, complain: Complain): FloorFile {
  if (!isRecord(value)) {
    complain('', `must be an object, got ${JSON.stringify(value)}`)
    return emptyFloorFile()
  }
  checkKeys(value, ['version', 'heavyBytes', 'entries'], '', complain)
  if (value['version'] !== 1) complain('version', `must be 1, got ${JSON.stringify(value['version'])}`)
  const heavyBytes = value['heavyBytes'] ?? DEFAULT_HEAVY_BYTES
  checkBytes(heavyBytes, 'heavyBytes', complain)
  const entries: Record<string, FloorEntry> = {}
  for (const [name, entry] of Object.entries(records(value['entries'], 'entries', complain)))
    entries[name] = checkEntry(entry, `entries.${name}`, complain)
  return { version: 1, heavyBytes: heavyBytes as number, entries }
}

function checkEntry(value: unknown, at: string, complain: Complain): FloorEntry {
  const entry = records(value, at, complain)
  checkKeys(entry, ['allow', 'may', 'deny', 'budgets'], at, complain)
  const allow = records(entry['allow'] ?? {}, `${at}.allow`, complain)
  for (const [name, phase] of Object.entries(allow))
    if (!PHASES.includes(phase as Phase))
      complain(`${at}.allow.${name}`, `must be one of ${PHASES.join(', ')}, got ${JSON.stringify(phase)}`)
  const budgets = records(entry['budgets'] ?? {}, `${at}.budgets`, complain)
  for (const [major, budget] of Object.entries(budgets)) checkBudget(major, budget, `${at}.budgets`, complain)
  return {
    allow: allow as Record<string, Phase>,
    may: checkNames(entry['may'] ?? [], `${at}.may`, complain),
    deny: checkNames(entry['deny'] ?? [], `${at}.deny`, complain),
    budgets: budgets as Record<string, Budget>,
  }
}

function checkBudget(major: string, value: unknown, at: string, complain: Complain): void {
  if (!/^\d{1,3}$/.test(major)) complain(`${at}.${major}`, 'must be a Node major version, such as "24"')
  const budget = records(value, `${at}.${major}`, complain)
  checkKeys(budget, ['calibratedBytes', 'maxAnonBytes'], `${at}.${major}`, complain)
  checkBytes(budget['calibratedBytes'], `${at}.${major}.calibratedBytes`, complain)
  if (budget['maxAnonBytes'] !== undefined)
    checkBytes(budget['maxAnonBytes'], `${at}.${major}.maxAnonBytes`, complain)
}

function checkNames(value: unknown, at: string, complain: Complain): string[] {
  if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return value
  complain(at, `must be a list of package names, got ${JSON.stringify(value)}`)
  return []
}

function checkBytes(value: unknown, at: string, complain: Complain): void {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    complain(at, `must be a whole number of bytes, got ${JSON.stringify(value)}`)
}

function records(value: unknown, at: string, complain: Complain): Record<string, unknown> {
  if (isRecord(value)) return value
  complain(at, `must be an object, got ${JSON.stringify(value)}`)
  return {}
}

function checkKeys(
  value: Record<string, unknown>,
  known: readonly string[],
  at: string,
  complain: Complain,
): void {
  for (const key of Object.keys(value))
    if (!known.includes(key))
      complain(at === '' ? key : `${at}.${key}`, `is unknown${didYouMean(key, known)}`)
}

function floorFileError(path: string, problems: readonly Problem[]): ByreError {
  return new ByreError(
    'BYRE_AUDIT_FLOOR_FILE',
    `${describeProblems(`Cannot use '${path}'`, problems)}\nCorrect the file, or record it again with byre audit --update.`,
  )
}
