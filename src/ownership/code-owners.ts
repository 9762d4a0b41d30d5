// Which worker owns which file of the loop: by entry module at once, and by imports once these have been read. They are read at
// the first question that needs them (a stray error, a profile, a stall), so a herd without one pays nothing.

import { resolve } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { modulePath } from '../base/module-path.ts'
import type { ImportsRequest } from '../imports/protocol.ts'
import type { ReachTable } from '../imports/table.ts'
import type { Logger } from '../log/logger.ts'
import { withinMs } from './detached-clock.ts'
import { runInScope } from './run-scope.ts'
import { stackOwners } from './stack.ts'
import type { StackOwners } from './stack.ts'

export interface CodeOwnersOptions {
  /** byre's own folder, with a trailing slash. */
  readonly ownRoot: string
  /** The workers of the herd, as of the last reload. */
  readonly workers: () => Iterable<{ readonly name: string; readonly source: { readonly path: string } }>
  /** Files that the process loads for no worker: the config. */
  readonly own: readonly string[]
  readonly cacheFile: string
  /** One worker has the process to itself (`byre run`): there is nothing to decide, and nothing is read. */
  readonly alone?: boolean
  readonly clock: Clock
  readonly log: Pick<Logger, 'debug' | 'warn'>
  /** Called when the imports have been read. */
  readonly onRead?: () => void
}

/** A question waits for the imports no longer than this; then it is answered without them. */
const WAIT_MAX_MS = 3000
/** After a failure, and for the new files of a module that is loaded once more, they are not read again for this long. */
const PAUSE_MS = 60_000
/** A preload may load what a worker loads too. */
const PRELOAD = /^(?:--import|--require|-r)(?:=(.*))?$/

export class CodeOwners {
  readonly #options: CodeOwnersOptions
  /** By its path in the config: the file from which a module was loaded in this loop. Node never unloads one. */
  readonly #loaded = new Map<string, string>()
  readonly #loadedPaths = new Set<string>()
  readonly #ended = new AbortController()
  #owners: StackOwners | undefined
  #reach: ReachTable | undefined
  /** The entry modules that `#reach` knows. */
  #covered: ReadonlySet<string> = new Set()
  #reading: Promise<void> | undefined
  #readAt = Number.NEGATIVE_INFINITY
  #failed = false

  constructor(options: CodeOwnersOptions) {
    this.#options = options
  }

  /** What is known now. */
  get(): StackOwners {
    this.#owners ??= {
      ...stackOwners(this.#options.workers(), this.#options.ownRoot),
      reach: this.#reach,
      loaded: this.#loadedPaths,
    }
    return this.#owners
  }

  /** Call when the herd has another config. */
  herdChanged(): void {
    this.#owners = undefined
  }

  /** Call before a module is loaded in this loop. `again`: from a new URL, after a failed load; its imports may have changed. */
  loading({
    path,
    file,
    again,
  }: {
    readonly path: string
    readonly file: string
    readonly again: boolean
  }): void {
    this.#loaded.set(path, file)
    this.#loadedPaths.add(path)
    if (!this.#covered.has(path) || (again && !this.#readLately())) this.#forget()
  }

  /** Reads the imports unless they are known. Resolves when they are, when they cannot be read, and after 3 s; never rejects. */
  async read(): Promise<void> {
    if (this.#options.alone === true || this.#reach !== undefined) return
    if ((this.#failed && this.#readLately()) || this.#ended.signal.aborted) return
    this.#reading ??= runInScope(undefined, () => this.#readNow())
    await withinMs(this.#options.clock, WAIT_MAX_MS, this.#reading)
  }

  /** Ends the child that reads, if there is one. */
  close(): void {
    this.#ended.abort()
  }

  #forget(): void {
    this.#reach = undefined
    this.#owners = undefined
  }

  #readLately(): boolean {
    return this.#options.clock.monotonic() - this.#readAt < PAUSE_MS
  }

  async #readNow(): Promise<void> {
    const { log, onRead } = this.#options
    const request = this.#request()
    this.#readAt = this.#options.clock.monotonic()
    try {
      const { readImports } = await import('../imports/read.ts')
      const { table, figures } = await readImports(request, this.#ended.signal)
      this.#failed = false
      this.#covered = new Set(request.entries.map(([path]) => path))
      // A module that began to load meanwhile is not in the table: the next question reads again.
      if ([...this.#loadedPaths].every((path) => this.#covered.has(path))) this.#reach = table
      this.#owners = undefined
      if (figures.unread === 0)
        log.debug({ event: 'imports-read', ...figures }, 'read the imports of the workers')
      else log.warn({ event: 'imports-read', ...figures }, TOO_MANY)
      onRead?.()
    } catch (error) {
      this.#failed = true
      if (this.#ended.signal.aborted) return
      log.warn(
        { event: 'imports-unread', ...describeThrown(error) },
        'the imports of the workers cannot be read',
      )
    } finally {
      this.#reading = undefined
    }
  }

  #request(): ImportsRequest {
    const { workers, own, ownRoot, cacheFile } = this.#options
    const entries = new Map(this.#loaded)
    for (const { source } of workers()) if (!entries.has(source.path)) entries.set(source.path, source.path)
    return {
      entries: [...entries],
      own: [...own, ...preloads([...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(/\s+/)])],
      ownRoot,
      cacheFile,
      sourceMaps: process.sourceMapsEnabled,
    }
  }
}

const TOO_MANY =
  'the workers import more files than byre reads: code in packages is attributed to workers by async context only'

/** Paths of preloaded files; a package is left out. */
function preloads(flags: readonly string[]): string[] {
  return flags.flatMap((flag, i) => {
    const match = PRELOAD.exec(flag)
    const value = match === null ? undefined : (match[1] ?? flags[i + 1])
    if (value === undefined || !/^(?:\.{0,2}\/|file:)/.test(value)) return []
    return value.startsWith('file:') ? (modulePath(value) ?? []) : resolve(value)
  })
}
