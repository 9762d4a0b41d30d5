// Whether the code of a worker on disk differs from what was loaded. Covers first-party files: the entry and the files it reaches
// by relative imports. Their fingerprints are kept when the module is loaded, and compared on status and restart, never on a
// timer.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { hash53 } from '../base/hash.ts'
import { relativeImports } from '../base/relative-imports.ts'
import type { Placement } from '../config/types.ts'

/** Maximum number of files checked for one worker. */
const FILES_MAX = 200
/** The imports of a larger file are not read. */
const SOURCE_MAX_BYTES = 1_000_000
/** Maximum age of a result: status may be requested many times a second. */
const RESULT_MAX_AGE_MS = 5000

/** A module that is about to be loaded in the shared loop. */
export interface LoadingModule {
  /** As in the config. */
  readonly path: string
  /** `path` without symbolic links. */
  readonly file: string
  /** Loaded from a new URL, after a failed load. */
  readonly again: boolean
}

interface Loaded {
  /** Ms since the epoch. */
  readonly record: { readonly loadedAt: number | undefined }
  readonly spec: Spec
}
interface Spec {
  readonly name: string
  readonly source: { readonly path: string }
}

interface SourceFile {
  readonly fingerprint: number
  /** The later of its modification and change time; ms since the epoch. */
  readonly changedAt: number
  readonly imports: readonly string[]
}

/** Fingerprints at load time, by the path of the entry or import. */
type Fingerprints = Map<string, number>

/** `monotonic` returns ms. One number is kept for each loaded file, regardless of how many workers reach it. */
export class CodeWatch {
  readonly #monotonic: () => number
  /** Files of the shared loop, which stay loaded. */
  readonly #shared: Fingerprints = new Map()
  /** Files of each worker in a thread or process, which loads everything anew at each start. */
  readonly #apart = new Map<string, Fingerprints>()
  #files = new Map<string, SourceFile | undefined>()
  #results = new Map<string, boolean>()
  #checkedAt = Number.NEGATIVE_INFINITY

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** Call before a worker is launched. Returns its placement. */
  launching<T extends Spec>(spec: T, assignments: { start(spec: T): Placement }): Placement {
    const { name, source } = spec
    const placement = assignments.start(spec)
    if (placement === 'shared') this.#apart.delete(name)
    else {
      const prints: Fingerprints = new Map()
      record(source.path, realFile(source.path), prints)
      this.#apart.set(name, prints)
    }
    return placement
  }

  /** Call before a module is loaded in the shared loop. */
  loading({ path, file, again }: LoadingModule): void {
    if (again) this.#shared.delete(path)
    if (!this.#shared.has(path)) record(path, file, this.#shared)
  }

  /** Returns true when a file differs from what was loaded, or the entry is missing; false before the first load. */
  changed({ record: { loadedAt }, spec: { name, source } }: Loaded): boolean {
    if (loadedAt === undefined) return false
    const now = this.#monotonic()
    if (now - this.#checkedAt > RESULT_MAX_AGE_MS) {
      this.#results = new Map()
      this.#checkedAt = now
    }
    const own = this.#apart.get(name)
    const key = `${loadedAt} ${own === undefined ? '' : name} ${source.path}`
    const known = this.#results.get(key)
    if (known !== undefined) return known
    if (this.#files.size === 0) setImmediate(() => (this.#files = new Map())) // files are read once per turn of the loop
    const changed = this.#differs(source.path, loadedAt, own ?? this.#shared)
    this.#results.set(key, changed)
    return changed
  }

  #differs(entry: string, loadedAt: number, prints: Fingerprints): boolean {
    const seen = new Set([entry])
    for (const path of seen) {
      if (!this.#files.has(path)) this.#files.set(path, readSource(realFile(path)))
      const file = this.#files.get(path)
      // An apparent import may be in a comment or lack its extension; only the entry itself must exist.
      if (file === undefined) {
        if (path === entry) return true
        continue
      }
      const print = prints.get(path)
      // A file without a fingerprint is beyond FILES_MAX of another worker, or a new import of a changed file.
      if (print === undefined ? file.changedAt > loadedAt : file.fingerprint !== print) return true
      for (const next of file.imports) if (seen.size < FILES_MAX) seen.add(next)
    }
    return false
  }
}

/** Adds the fingerprints of `entry`, which is loaded from `from`, and of the files it reaches, unless already there. */
function record(entry: string, from: string, prints: Fingerprints): void {
  const found = new Set([entry])
  for (const path of found) {
    if (prints.has(path)) continue
    const file = readSource(path === entry ? from : realFile(path))
    if (file === undefined) continue
    prints.set(path, file.fingerprint)
    for (const next of file.imports) if (found.size < FILES_MAX) found.add(next)
  }
}

/** `file` is without symbolic links: Node resolves the imports of a module from there. */
function readSource(file: string): SourceFile | undefined {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(file)
    const text = size > SOURCE_MAX_BYTES ? '' : readFileSync(file, 'utf8')
    return {
      // A deploy may keep the modification time (cp -p, tar, rsync -t) or replace the file.
      fingerprint: hash53(`${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`),
      changedAt: Math.max(mtimeMs, ctimeMs),
      imports: relativeImports(text, file),
    }
  } catch {
    return undefined
  }
}

/** Not `realpathSync` in JavaScript: see base/stat.ts. */
function realFile(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path
  }
}
