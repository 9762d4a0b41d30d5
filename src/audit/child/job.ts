// What an audited child is told and what it answers. Both sides import only the types and this one constant, so the
// child stays small.

/** Bumped whenever job, result or trace change shape. */
export const CHILD_PROTOCOL = 3

/** An import edge to be replaced by a stub: the importing module and the imported one, as URLs. */
export interface CutEdge {
  readonly from: string
  readonly to: string
  /** Names the stub has to carry; without them a static import of a name does not link. */
  readonly exportNames: readonly string[]
}

export interface EntryJob {
  readonly url: string
  /** How the program itself would start it: a CommonJS program has no ESM wrapper around its entry. */
  readonly how: 'import' | 'require'
}

export interface ChildJob {
  readonly protocol: typeof CHILD_PROTOCOL
  readonly entries: readonly EntryJob[]
  /** Bring the loader to its working size first; the module to import. Absent in plain runs. */
  readonly warmUpUrl?: string
  /** Record who allocates what; absent in bare and plain runs. */
  readonly probe?: ProbeJob
  readonly cuts: readonly CutEdge[]
  /** Take stable snapshots (strong collections) or leave the heap alone. */
  readonly collect: boolean
  /** process.argv after the entry. */
  readonly arguments: readonly string[]
  /** Packages to watch for their first use; such a run is not measured. */
  readonly witness?: readonly string[]
}

export interface ProbeJob {
  /** Files the trace is written to. */
  readonly eventsPath: string
  readonly namesPath: string
  /** Collect when used heap + external moved this much since the last collection. */
  readonly thresholdBytes: number
  /** A last-resort collection (Node 22 and later) or a plain one. */
  readonly collection: 'strong' | 'plain'
}

/** One look at the process. All from the same moment; bytes. */
export interface Snapshot {
  readonly rssBytes: number
  readonly pssBytes: number
  readonly ussBytes: number
  readonly anonBytes: number
  /** Anonymous memory of the brk heap ([heap] in smaps): glibc's malloc in an arena-less child. */
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
  /** What the entry threw, or undefined. */
  readonly error?: string
  /** The entry called process.exit with this code while it was loading. */
  readonly exitedWith?: number
  readonly importMs: number
  readonly before: Snapshot
  /** Right after the import. */
  readonly loaded: Snapshot
  /** After a plain gc(): what is left above `settled` is V8's page pool and slack. Only with `collect`. */
  readonly collected?: Snapshot
  /** After a strong collection. Only with `collect`. */
  readonly settled?: Snapshot
  /** Collections the probe made and the milliseconds they took. */
  readonly collections?: number
  readonly collectionsMs?: number
  /** Names exported per URL, of ESM and CommonJS modules. Only with a probe. */
  readonly exportNames?: Readonly<Record<string, readonly string[]>>
  /** Of the packages watched: first use, and which were imported where it can be seen. */
  readonly witness?: { readonly firstUse: Readonly<Record<string, string>>; readonly seen: readonly string[] }
  /** Cut edges that the run met, as `from\nto`. */
  readonly cutsMet: readonly string[]
  /** Only when a program under test opened something: NODE_OPTIONS seen, which must be empty. */
  readonly nodeOptions?: string
}

/** Types of the records in the events file: four little-endian doubles each: type, a, b, c. */
export const EVENT = {
  /** a: name of the importing module; the time until the next event is its. b: bytes now, c: bytes after a collection or -1. */
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
  /** What died young was collected; b: bytes before, c: bytes after. */
  young: 13,
  /** a: importing name, b: imported name, c: name of the specifier. */
  edgeImport: 20,
  edgeRequire: 21,
  edgeBuiltin: 22,
  /** One of Node's own modules is wanted by whatever runs; a: unused, b: its name. */
  edgeInternal: 25,
  /** The translator ran for this URL as a wrapper of something that is no ES module; a: name. */
  facade: 23,
  /** An ES module; a: its id in enterEsm and exitEsm, b: its name. */
  module: 24,
} as const
