// What the process and its child that reads imports send each other: one JSON value on stdin, one line on stdout.

import type { PackedTable } from './table.ts'

export interface ImportsRequest {
  /** The workers' modules: the path by which the table names each, and the file from which it was loaded. */
  readonly entries: readonly (readonly [path: string, file: string])[]
  /** Files that the process itself loads: the config, preloads. */
  readonly own: readonly string[]
  /** Folder of byre's code, with a trailing slash. It is not read. */
  readonly ownRoot: string
  /** Where the imports of each file are kept, by its fingerprint. */
  readonly cacheFile: string
  /** The source maps of packages are read too, because Node applies them. Those of other files are read in any case. */
  readonly sourceMaps: boolean
}

export interface ImportsAnswer extends PackedTable {
  /** Number of files in the table. */
  readonly files: number
  /** Number of files that were read because the cache did not have them. */
  readonly read: number
  /** Number of files that were not read because of a limit: their workers count as owners of all that they could reach. */
  readonly unread: number
  /** Why the cache could not be written. */
  readonly notKept?: string
  readonly ms: number
}
