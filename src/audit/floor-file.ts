// byre.floor.json: what each entry may load and how much it may weigh. Committed, read by people, one block per entry.

import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isRecord } from '../base/check.ts'
import { ByreError, describeProblems, type Problem } from '../base/errors.ts'
import { didYouMean } from '../base/suggest.ts'

export const FLOOR_FILE = 'byre.floor.json'

/** When a package may be loaded at the earliest, in the order of a worker's life. */
export const PHASES = ['boot', 'load', 'ready', 'first-message'] as const
export type Phase = (typeof PHASES)[number]

export interface FloorFile {
  readonly version: 1
  /** A package that retains this much must be on a list. @default 1 MiB */
  readonly heavyBytes: number
  readonly entries: Readonly<Record<string, FloorEntry>>
}

export interface FloorEntry {
  /** Heavy packages that may be loaded, from the phase given. One that is no longer loaded fails. */
  readonly allow: Readonly<Record<string, Phase>>
  /** Packages that may be loaded or not: absorbs what varies between runtimes. */
  readonly may: readonly string[]
  /** Packages that must never be loaded eagerly, heavy or not. One that does not exist fails. */
  readonly deny: readonly string[]
  /** By node major. */
  readonly budgets: Readonly<Record<string, Budget>>
}

export interface Budget {
  /** The calibrated floor when it was recorded; fails above it + 1 % or 64 KiB. */
  readonly calibratedBytes: number
  /** Private memory (Anonymous) of plain runs must stay below this; set by hand. */
  readonly maxAnonBytes?: number
}

const DEFAULT_HEAVY_BYTES = 1024 * 1024

export function emptyFloorFile(): FloorFile {
  return { version: 1, heavyBytes: DEFAULT_HEAVY_BYTES, entries: {} }
}

export function emptyFloorEntry(): FloorEntry {
  return { allow: {}, may: [], deny: [], budgets: {} }
}

/** The file, or an empty one when it does not exist and `optional`. Throws BYRE_AUDIT_FLOOR_FILE with all problems. */
export function readFloorFile(path: string, optional = false): FloorFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    if (optional && (cause as NodeJS.ErrnoException).code === 'ENOENT') return emptyFloorFile()
    throw new ByreError(
      'BYRE_AUDIT_FLOOR_FILE',
      `Cannot read '${path}': the floor file must exist, got ${(cause as NodeJS.ErrnoException).code}. Record it with byre audit --update <entry>.`,
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
    throw floorFileError(path, [{ path: '', message: `must be JSON: ${(cause as Error).message}` }])
  }
  const problems: Problem[] = []
  const file = checkFile(value, (at, message) => problems.push({ path: at, message }))
  if (problems.length > 0) throw floorFileError(path, problems)
  return file
}

/** Keys in a fixed order and lists sorted, so that a diff shows what changed. Replaced atomically. */
export function writeFloorFile(path: string, file: FloorFile): void {
  const aside = `${path}.${process.pid}`
  writeFileSync(aside, formatFloorFile(file))
  renameSync(aside, path)
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
  if (!/^\d{1,3}$/.test(major)) complain(`${at}.${major}`, 'must be a major version of Node, such as "24"')
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
    `${describeProblems(`Cannot use '${path}'`, problems)}\nCorrect it, or record it anew with byre audit --update.`,
  )
}
