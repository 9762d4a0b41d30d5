// The imports of files by fingerprint, kept in a file between two readings, so that a reload parses only what has changed.

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isRecord } from '../base/check.ts'
import type { FileFacts } from './walk.ts'

/** Changes with the format and with what the parsers report. */
const VERSION = 1
/** A larger cache is not written. */
const CACHE_MAX_BYTES = 33_554_432

interface Kept {
  readonly print: number
  readonly facts: FileFacts
}

export class ImportsCache {
  readonly #path: string
  readonly #before: ReadonlyMap<string, Kept>
  readonly #now = new Map<string, Kept>()
  /** Number of files whose facts came from `read`. */
  misses = 0

  constructor(path: string) {
    this.#path = path
    this.#before = load(path)
  }

  get(file: string, print: number, read: () => FileFacts): FileFacts {
    const before = this.#before.get(file)
    const kept = before?.print === print ? before : { print, facts: read() }
    if (kept !== before) this.misses++
    this.#now.set(file, kept)
    return kept.facts
  }

  /** Keeps what was asked for. Throws when the file cannot be written. */
  save(): void {
    if (this.misses === 0 && this.#now.size === this.#before.size) return
    const text = JSON.stringify({ version: VERSION, node: process.version, files: [...this.#now] })
    if (text.length > CACHE_MAX_BYTES) return
    const draft = `${this.#path}.${process.pid}`
    try {
      writeFileSync(draft, text, { mode: 0o600 })
      renameSync(draft, this.#path)
    } finally {
      rmSync(draft, { force: true })
    }
  }
}

/** Empty when there is none, or it is of another version or damaged: everything is read anew. */
function load(path: string): ReadonlyMap<string, Kept> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (isRecord(parsed) && parsed['version'] === VERSION && parsed['node'] === process.version)
      return new Map(parsed['files'] as [string, Kept][])
  } catch {}
  return new Map()
}
