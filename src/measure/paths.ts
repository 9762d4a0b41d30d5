// Checks the paths of `--verify` and `--verify-json` after a run, and measures those of `--size`.

import type { Stats } from 'node:fs'
import { lstatSync, readFileSync, readdirSync } from 'node:fs'
import { join, relative, resolve, sep } from 'node:path'
import { isRecord } from '../base/check.ts'
import type { VerifyRow } from './result.ts'

export interface VerifyRules {
  /** Paths or globs (`*`, `**`, `?`) that must match at least one non-empty file or folder. */
  readonly paths: readonly string[]
  /** `FILE:KEY`: the key (a dotted path) must exist and be neither null, false nor ''. */
  readonly json: readonly string[]
}

/** Maximum number of files and folders that one glob or size visits; a larger size is marked as incomplete. */
const MAX_ENTRIES = 500_000

export function verify(rules: VerifyRules, cwd: string): VerifyRow[] {
  return [
    ...rules.paths.map((path) => verifyPath(path, cwd)),
    ...rules.json.map((rule) => verifyJson(rule, cwd)),
  ]
}

function verifyPath(pattern: string, cwd: string): VerifyRow {
  if (!/[*?]/.test(pattern)) {
    const size = sizeOf(resolve(cwd, pattern))
    if (size === undefined) return { what: pattern, ok: false, found: 'does not exist' }
    return { what: pattern, ok: size.entries > 0 && (size.bytes > 0 || size.isFolder), found: describe(size) }
  }
  const matches = glob(pattern, cwd)
  const full = matches.filter((path) => (sizeOf(path)?.bytes ?? 0) > 0)
  return {
    what: pattern,
    ok: full.length > 0,
    found: `${matches.length} match${matches.length === 1 ? '' : 'es'}, ${full.length} not empty`,
  }
}

function verifyJson(rule: string, cwd: string): VerifyRow {
  const colon = rule.lastIndexOf(':')
  const [file, key] = [rule.slice(0, colon), rule.slice(colon + 1)]
  try {
    let value: unknown = JSON.parse(readFileSync(resolve(cwd, file), 'utf8'))
    for (const part of key.split('.')) {
      if (Array.isArray(value)) value = value[Number(part)]
      else value = isRecord(value) && Object.hasOwn(value, part) ? value[part] : undefined
    }
    const ok = value !== undefined && value !== null && value !== false && value !== ''
    return {
      what: rule,
      ok,
      found: value === undefined ? 'no such key' : JSON.stringify(value).slice(0, 100),
    }
  } catch (error) {
    return { what: rule, ok: false, found: (error as Error).message.slice(0, 200) }
  }
}

interface Size {
  readonly bytes: number
  readonly entries: number
  readonly isFolder: boolean
  readonly complete: boolean
}

/** Sum of the file sizes below `path`, without following links; undefined when it does not exist. */
export function sizeOf(path: string): Size | undefined {
  const top = stat(path)
  if (top === undefined) return undefined
  if (!top.isDirectory()) return { bytes: top.size, entries: 1, isFolder: false, complete: true }
  let [bytes, entries] = [0, 1]
  const folders = [path]
  while (folders.length > 0 && entries < MAX_ENTRIES) {
    for (const entry of list(folders.pop()!)) {
      entries++
      if (entry.isFolder) folders.push(entry.path)
      else bytes += stat(entry.path)?.size ?? 0
    }
  }
  return { bytes, entries, isFolder: true, complete: folders.length === 0 }
}

/** Absolute paths of matching files; `**` matches any number of folders. */
function glob(pattern: string, cwd: string): string[] {
  const full = resolve(cwd, pattern)
  const segments = full.split(sep)
  const wild = segments.findIndex((segment) => /[*?]/.test(segment))
  const base = segments.slice(0, wild).join(sep) || sep
  const rest = segments.slice(wild)
  const regex = new RegExp(`^${toRegex(rest)}$`, 'u')
  const deep = rest.includes('**') ? Number.POSITIVE_INFINITY : rest.length
  const found: string[] = []
  const folders = [{ path: base, depth: 1 }]
  for (let seen = 0; folders.length > 0 && seen < MAX_ENTRIES; ) {
    const { path, depth } = folders.pop()!
    for (const entry of list(path)) {
      seen++
      if (entry.isFolder && depth < deep) folders.push({ path: entry.path, depth: depth + 1 })
      if (!entry.isFolder && regex.test(relative(base, entry.path))) found.push(entry.path)
    }
  }
  return found.toSorted()
}

function toRegex(segments: readonly string[]): string {
  const parts = segments.map((segment, i) => {
    const last = i === segments.length - 1
    if (segment === '**') return last ? '.*' : '(?:[^/]+/)*'
    const text = segment
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '[^/]*')
      .replaceAll('?', '[^/]')
    return last ? text : `${text}/`
  })
  return parts.join('')
}

function list(folder: string): { readonly path: string; readonly isFolder: boolean }[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).map((entry) => ({
      path: join(folder, entry.name),
      isFolder: entry.isDirectory(),
    }))
  } catch {
    return [] // gone or not readable: it does not count
  }
}

function stat(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

function describe(size: Size): string {
  const what = size.isFolder ? `${size.entries - 1} entries, ` : ''
  return `${what}${size.bytes} bytes${size.complete ? '' : ' and more'}`
}
