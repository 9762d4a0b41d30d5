// Has the code of a worker changed on disk since it was loaded? First-party files only: the entry and what it
// reaches by relative imports. Asked by status and restart, never on a timer.

import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Files looked at per worker. */
const FILES_MAX = 200
/** Answers are this old at most: status may be asked many times a second. */
const FRESH_MS = 5000
const RELATIVE_IMPORT = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g

export interface CodeWatch {
  /** True when a file of the worker was modified (or its entry removed) after `loadedAt`, ms since the epoch. */
  changedSince(entry: string, loadedAt: number): boolean
  /** The same for what a runner loaded; false before it did. */
  changed(runner: Loaded): boolean
}

interface Loaded {
  readonly record: { readonly loadedAt: number | undefined }
  readonly spec: { readonly source: { readonly path: string } }
}

interface SourceFile {
  /** Undefined when it cannot be read. */
  readonly mtimeMs: number | undefined
  readonly imports: readonly string[]
}

/** `monotonic` in ms. Files many workers share are read once per sweep; nothing is kept between sweeps. */
export function createCodeWatch(monotonic: () => number): CodeWatch {
  let files = new Map<string, SourceFile>()
  let answers = new Map<string, boolean>()
  let sweptAt = Number.NEGATIVE_INFINITY
  const watch: CodeWatch = {
    changed: ({ record: { loadedAt }, spec }) =>
      loadedAt !== undefined && watch.changedSince(spec.source.path, loadedAt),
    changedSince(entry, loadedAt) {
      const now = monotonic()
      if (now - sweptAt > FRESH_MS) {
        answers = new Map()
        sweptAt = now
      }
      const key = `${loadedAt} ${entry}`
      const known = answers.get(key)
      if (known !== undefined) return known
      if (files.size === 0) setImmediate(() => (files = new Map())) // one sweep is one turn of the loop
      const changed = walk(entry, loadedAt, files)
      answers.set(key, changed)
      return changed
    },
  }
  return watch
}

function walk(entry: string, loadedAt: number, files: Map<string, SourceFile>): boolean {
  const seen = new Set([entry])
  for (const path of seen) {
    const file = files.get(path) ?? readSource(path)
    files.set(path, file)
    // What looks like an import may stand in a comment or need an extension; only the entry itself must be there.
    if (file.mtimeMs === undefined ? path === entry : file.mtimeMs > loadedAt) return true
    for (const next of file.imports) if (seen.size < FILES_MAX) seen.add(next)
  }
  return false
}

function readSource(path: string): SourceFile {
  try {
    const { mtimeMs } = statSync(path)
    const text = readFileSync(path, 'utf8')
    return {
      mtimeMs,
      imports: [...text.matchAll(RELATIVE_IMPORT)].map((match) => resolve(dirname(path), match[1] as string)),
    }
  } catch {
    return { mtimeMs: undefined, imports: [] }
  }
}
