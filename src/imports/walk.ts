// The files that a set of files reaches through imports, as a graph. Reading and resolving are passed in.

import type { ImportMode } from './parse.ts'

/** What the walk uses of one file. */
export interface FileFacts {
  readonly specifiers: readonly (readonly [specifier: string, mode: ImportMode])[]
  /** It may load any file of the project: it computes names of files, or its imports cannot be read. */
  readonly open: boolean
  /** The files from which it was compiled, by its source map. */
  readonly sources: readonly string[]
}

export interface WalkFiles {
  /** Undefined when there is no such file. Must not throw. */
  facts(file: string): FileFacts | undefined
  /** The file that `specifier` names, without symbolic links; undefined for a module of Node and one that is not found. */
  resolve(specifier: string, from: string, mode: ImportMode): string | undefined
  /** Whether `file` is neither read nor part of the graph. */
  skip(file: string): boolean
  /** Whether no more file may be read. */
  full(): boolean
}

export interface ImportGraph {
  readonly files: readonly string[]
  /** The edges, by index in `files`. The two last nodes stand for no file: see `anyFile` and `anyPackage`. */
  readonly imports: readonly (readonly number[])[]
  /** The node that imports every file outside node_modules that is not an entry. */
  readonly anyFile: number
  /** The node that imports every file in node_modules. */
  readonly anyPackage: number
  /** Number of files that were not read because of a limit. */
  readonly unread: number
}

/** Whether `file` belongs to a package that a package manager installed. A linked package of a workspace does not: its files
 *  are reached by their real path. */
export function isInPackage(file: string): boolean {
  return file.includes('/node_modules/')
}

/** Reads the files of the project first, then packages, so that a limit is reached in the latter. */
export function walkImports(entries: Iterable<string>, files: WalkFiles): ImportGraph {
  return new Walk(files).from(entries)
}

class Walk {
  readonly #files: WalkFiles
  readonly #index = new Map<string, number>()
  readonly #paths: string[] = []
  readonly #imports: number[][] = []
  readonly #queued = new Set<number>()
  readonly #ahead: number[] = []
  readonly #packagesAhead: number[] = []
  readonly #anyFile: number[] = []
  readonly #anyPackage: number[] = []
  #unread = 0

  constructor(files: WalkFiles) {
    this.#files = files
  }

  from(entries: Iterable<string>): ImportGraph {
    for (const entry of entries) this.#add(entry, true)
    const entriesEnd = this.#paths.length
    for (;;) {
      const next = this.#ahead.pop() ?? this.#packagesAhead.pop()
      if (next === undefined) break
      this.#read(next)
    }
    return this.#graph(entriesEnd)
  }

  /** `reads`: its own imports count too. */
  #add(file: string, reads: boolean): number {
    let at = this.#index.get(file)
    if (at === undefined) {
      at = this.#paths.push(file) - 1
      this.#index.set(file, at)
      this.#imports.push([])
    }
    // A file that was known only as a source of another one is read when it is imported.
    if (reads && !this.#queued.has(at)) {
      this.#queued.add(at)
      ;(isInPackage(file) ? this.#packagesAhead : this.#ahead).push(at)
    }
    return at
  }

  #read(at: number): void {
    const file = this.#paths[at]!
    const isPackage = isInPackage(file)
    if (this.#files.full()) {
      this.#unread++
      this.#anyPackage.push(at)
      if (!isPackage) this.#anyFile.push(at)
      return
    }
    const facts = this.#files.facts(file)
    if (facts === undefined) return
    // Packages often compute names of their own optional parts; that would make every file of every package a shared one.
    if (facts.open && !isPackage) this.#anyFile.push(at)
    const targets = new Set<number>()
    for (const [specifier, mode] of facts.specifiers) {
      const target = this.#files.resolve(specifier, file, mode)
      if (target !== undefined && !this.#files.skip(target)) targets.add(this.#add(target, true))
    }
    for (const source of facts.sources) if (source !== file) targets.add(this.#add(source, false))
    this.#imports[at] = [...targets]
  }

  #graph(entriesEnd: number): ImportGraph {
    const anyFile = this.#paths.length
    const anyPackage = anyFile + 1
    const imports = [...this.#imports, [] as number[], [] as number[]]
    for (const at of this.#anyFile) imports[at]!.push(anyFile)
    for (const at of this.#anyPackage) imports[at]!.push(anyPackage)
    for (const [at, file] of this.#paths.entries()) {
      if (isInPackage(file)) imports[anyPackage]!.push(at)
      else if (at >= entriesEnd) imports[anyFile]!.push(at)
    }
    return { files: this.#paths, imports, anyFile, anyPackage, unread: this.#unread }
  }
}
