// Does the code of a worker differ on disk from what was loaded? First-party files only: the entry and what it reaches by
// relative imports. A mark of each is kept when the module is loaded, and looked at by status and restart, never on a timer.

import { readFileSync, realpathSync, statSync } from 'node:fs'
import { relativeImports } from '../base/relative-imports.ts'
import type { Placement } from '../config/types.ts'

/** Files looked at per worker. */
const FILES_MAX = 200
/** The imports of a larger file are not read. */
const SOURCE_MAX_BYTES = 1_000_000
/** Answers are this old at most: status may be asked many times a second. */
const FRESH_MS = 5000

/** A module that is about to be loaded in the shared loop. */
export interface LoadingModule {
  /** As the config has it. */
  readonly path: string
  /** Where that leads. */
  readonly file: string
  /** From a fresh URL, after a load that failed. */
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
  readonly mark: number
  /** When it became what it is, as far as its stamps tell; ms since the epoch. */
  readonly changedAt: number
  readonly imports: readonly string[]
}

/** By path of the entry or import: what it was when it was loaded. */
type Marks = Map<string, number>

/** `monotonic` in ms. Of each loaded file one number is kept, however many workers reach it. */
export class CodeWatch {
  readonly #monotonic: () => number
  /** Of the shared loop, where a file once loaded stays. */
  readonly #shared: Marks = new Map()
  /** Of each worker in a thread or process, whose every start loads all anew. */
  readonly #apart = new Map<string, Marks>()
  #files = new Map<string, SourceFile | undefined>()
  #answers = new Map<string, boolean>()
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic
  }

  /** A worker is about to be launched; returns where. */
  launching<T extends Spec>(spec: T, assignments: { start(spec: T): Placement }): Placement {
    const { name, source } = spec
    const placement = assignments.start(spec)
    if (placement === 'shared') this.#apart.delete(name)
    else {
      const marks: Marks = new Map()
      noteFrom(source.path, realFile(source.path), marks)
      this.#apart.set(name, marks)
    }
    return placement
  }

  /** A module is about to be loaded in the shared loop. */
  loading({ path, file, again }: LoadingModule): void {
    if (again) this.#shared.delete(path)
    if (!this.#shared.has(path)) noteFrom(path, file, this.#shared)
  }

  /** True when a file is another than the one that was loaded, or the entry is gone; false before anything was loaded. */
  changed({ record: { loadedAt }, spec: { name, source } }: Loaded): boolean {
    if (loadedAt === undefined) return false
    const now = this.#monotonic()
    if (now - this.#sweptAt > FRESH_MS) {
      this.#answers = new Map()
      this.#sweptAt = now
    }
    const own = this.#apart.get(name)
    const key = `${loadedAt} ${own === undefined ? '' : name} ${source.path}`
    const known = this.#answers.get(key)
    if (known !== undefined) return known
    if (this.#files.size === 0) setImmediate(() => (this.#files = new Map())) // one sweep is one turn of the loop
    const changed = this.#differs(source.path, loadedAt, own ?? this.#shared)
    this.#answers.set(key, changed)
    return changed
  }

  #differs(entry: string, loadedAt: number, marks: Marks): boolean {
    const seen = new Set([entry])
    for (const path of seen) {
      if (!this.#files.has(path)) this.#files.set(path, readSource(realFile(path)))
      const file = this.#files.get(path)
      // What looks like an import may stand in a comment or need an extension; only the entry itself must be there.
      if (file === undefined) {
        if (path === entry) return true
        continue
      }
      const mark = marks.get(path)
      // One that was not marked: beyond FILES_MAX of another worker that has it too, or a new import of a changed file.
      if (mark === undefined ? file.changedAt > loadedAt : file.mark !== mark) return true
      for (const next of file.imports) if (seen.size < FILES_MAX) seen.add(next)
    }
    return false
  }
}

/** Marks `entry`, which is loaded from `from`, and what it reaches and was not marked yet. */
function noteFrom(entry: string, from: string, marks: Marks): void {
  const found = new Set([entry])
  for (const path of found) {
    if (marks.has(path)) continue
    const file = readSource(path === entry ? from : realFile(path))
    if (file === undefined) continue
    marks.set(path, file.mark)
    for (const next of file.imports) if (found.size < FILES_MAX) found.add(next)
  }
}

/** `file` is where a path leads in the end: Node resolves the imports of a module from there. */
function readSource(file: string): SourceFile | undefined {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(file)
    const text = size > SOURCE_MAX_BYTES ? '' : readFileSync(file, 'utf8')
    return {
      // A deploy may keep the time of modification (cp -p, tar, rsync -t) or put another file in place.
      mark: hash(`${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`),
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

/** 53 bits of `text`, by two FNV-1a hashes: a number is a tenth of the text. */
function hash(text: string): number {
  let high = 0x811c9dc5
  let low = 0xcbf29ce4
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    high = Math.imul(high ^ code, 0x01000193)
    low = Math.imul(low ^ code, 0x85ebca6b)
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}
