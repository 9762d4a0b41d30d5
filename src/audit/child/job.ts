// The job an audited child receives and the result it returns. Both sides import only types and two constants from
// here, so that the child stays small.

/** Increment whenever the shape of job, result or trace changes. */
export const CHILD_PROTOCOL = 4

/** An import edge to replace by a stub: URLs of the importing and the imported module. */
export interface CutEdge {
  readonly from: string
  readonly to: string
  /** Export names of the stub; a static import of a missing name does not link. */
  readonly exportNames: readonly string[]
}

export interface EntryJob {
  readonly url: string
  /** How the program itself would be loaded: a CommonJS entry has no ES module wrapper. */
  readonly how: 'import' | 'require'
}

export interface ChildJob {
  readonly protocol: typeof CHILD_PROTOCOL
  readonly entries: readonly EntryJob[]
  /** A module to import first, so that the loader reaches its working size. Absent in plain runs. */
  readonly warmUpUrl?: string
  /** Record allocations by module; absent in bare and plain runs. */
  readonly probe?: ProbeJob
  readonly cuts: readonly CutEdge[]
  /** Take stable snapshots (after full collections) instead of leaving the heap alone. */
  readonly collect: boolean
  /** process.argv after the entry. */
  readonly arguments: readonly string[]
  /** Packages to watch for their first use; a run with this set is not measured. */
  readonly witness?: readonly string[]
}

export interface ProbeJob {
  /** Path of the trace's events; the names go to `namesPath`. */
  readonly eventsPath: string
  readonly namesPath: string
  /** Collect when used heap + external memory changed by this much since the last collection. */
  readonly thresholdBytes: number
  /** A last-resort collection (Node 22 and later) or a plain major one. */
  readonly collection: 'last-resort' | 'major'
}

/** Memory of the process at one moment, in bytes. */
export interface Snapshot {
  readonly rssBytes: number
  readonly pssBytes: number
  readonly ussBytes: number
  readonly anonBytes: number
  /** Anonymous memory of the brk heap ([heap] in smaps): glibc's malloc in a child limited to one arena. */
  readonly brkBytes: number
  readonly usedHeapBytes: number
  readonly externalBytes: number
  readonly physicalHeapBytes: number
  readonly mallocedBytes: number
}

export interface ChildResult {
  readonly protocol: typeof CHILD_PROTOCOL
  readonly nodeVersion: string
  readonly arch: string
  /** The error the entry threw; absent when it loaded. */
  readonly error?: string
  /** Exit code when the entry called process.exit() while loading. */
  readonly exitedWith?: number
  readonly importMs: number
  readonly before: Snapshot
  /** Directly after the import. */
  readonly loaded: Snapshot
  /** After a plain gc(): memory above `afterFullGc` is V8's page pool and slack. Only with `collect`. */
  readonly afterGc?: Snapshot
  /** After a last-resort collection. Only with `collect`. */
  readonly afterFullGc?: Snapshot
  /** Number of collections the probe made and their total time in milliseconds. */
  readonly collections?: number
  readonly collectionsMs?: number
  /** Names exported per URL, of ESM and CommonJS modules. Only with a probe. */
  readonly exportNames?: Readonly<Record<string, readonly string[]>>
  /** For the watched packages: the first use, and those whose import was detected. */
  readonly witness?: { readonly firstUse: Readonly<Record<string, string>>; readonly seen: readonly string[] }
  /** Cut edges that the run reached, as `from\nto`. */
  readonly cutsApplied: readonly string[]
  /** NODE_OPTIONS as the child saw it; must be absent. */
  readonly nodeOptions?: string
}

/** Types of the records in the events file. A record is four little-endian doubles: type, a, b, c. */
export const EVENT = {
  /** Measured events. a: name number of the module that owns the bytes until the next event; b: bytes now, c: bytes
   *  after a collection or -1. */
  resolve: 1,
  load: 2,
  enterEsm: 4,
  exitEsm: 5,
  enterCjs: 6,
  exitCjs: 7,
  sample: 9,
  loadEnd: 10,
  link: 11,
  linkEnd: 12,
  /** A minor collection; b: bytes before, c: bytes after. */
  minorGc: 13,
  /** a: importing module, b: imported module, c: specifier (numbers of names). */
  edgeImport: 20,
  edgeRequire: 21,
  edgeBuiltin: 22,
  /** A builtin module is requested by the code that runs; a: unused, b: its name. */
  edgeInternal: 25,
  /** The translator created the ES module wrapper of a module in another format; a: name. */
  wrapper: 23,
  /** An ES module; a: its id in enterEsm and exitEsm, b: its name. */
  module: 24,
} as const
