// Options of an audit and their defaults.

import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Entry } from './entry.ts'

/** Progress of a stage. `leftMs` is an estimate of the remaining time; absent before the first task is done. */
export interface AuditProgress {
  readonly stage: 'self-test' | 'plain' | 'bare' | 'probe' | 'prove' | 'usage'
  readonly done: number
  readonly total: number
  readonly leftMs?: number
}

export interface AuditOptions {
  readonly entries: readonly Entry[]
  /** Working directory of the audited children and base of the labels. @default process.cwd() */
  readonly cwd?: string
  /** Path of the node binary. @default process.execPath */
  readonly nodePath?: string
  /** Additional flags of node. @default [] */
  readonly nodeArguments?: readonly string[]
  /** Environment of the audited program, in addition to PATH and HOME. @default {} */
  readonly env?: Readonly<Record<string, string>>
  /** process.argv after the entry. @default [] */
  readonly arguments?: readonly string[]
  /** Number of plain runs for the floor. @default 5 */
  readonly runs?: number
  /** Number of proposals to prove, the largest predicted saving first. @default 10 */
  readonly proofs?: number
  /** Runs per proof. @default 2 */
  readonly proofRuns?: number
  /** A package or module that retains at least this many bytes is heavy. @default 1 MiB */
  readonly heavyBytes?: number
  /** Heap change that triggers a collection, in bytes. 0 means 64 KiB, on Node 20 128 KiB. @default 0 */
  readonly thresholdBytes?: number
  /** Also propose edges inside packages. @default false */
  readonly everywhere?: boolean
  /** Edges to evaluate, written `a.js -> b.js`. @default [] */
  readonly whatIf?: readonly string[]
  /** Packages or modules to keep out of the floor. @default [] */
  readonly cut?: readonly string[]
  /** Folder for cached self-tests and results; false disables the cache. @default ~/.cache/byre/audit */
  readonly cacheFolder?: string | false
  /** Time limit of a single child, in ms. @default 120000 */
  readonly childTimeoutMs?: number
  /** Number of calibrated children that run at the same time; their figures do not depend on the load. @default 2 */
  readonly parallel?: number
  /** The point at which the run that detects unused packages ends. Past 'loaded' the program runs for real, with all its effects:
   *  a worker under `byre run`, any other file directly, which must call markReady(). No message is sent to it, so a
   *  package that is unused one second after ready counts as unused before the first message. @default 'loaded' */
  readonly until?: 'loaded' | 'ready' | 'first-message'
  readonly onProgress?: (progress: AuditProgress) => void
  readonly signal?: AbortSignal
}

export type ResolvedAuditOptions = Required<AuditOptions>

export function resolveAuditOptions(options: AuditOptions): ResolvedAuditOptions {
  return {
    cwd: process.cwd(),
    nodePath: process.execPath,
    nodeArguments: [],
    env: {},
    arguments: [],
    runs: 5,
    proofs: 10,
    proofRuns: 2,
    heavyBytes: 1024 * 1024,
    thresholdBytes: 0,
    everywhere: false,
    whatIf: [],
    cut: [],
    cacheFolder: join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'byre', 'audit'),
    childTimeoutMs: 120_000,
    parallel: 2,
    until: 'loaded',
    onProgress: () => undefined,
    signal: new AbortController().signal,
    ...options,
  }
}
