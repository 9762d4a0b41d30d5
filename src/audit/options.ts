// What an audit may be told, and what it does when told nothing.

import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Entry } from './entry.ts'

/** Something happened; `leftMs` is an estimate, absent while there is none. */
export interface AuditProgress {
  readonly stage: 'self-test' | 'plain' | 'bare' | 'probe' | 'prove' | 'usage'
  readonly done: number
  readonly total: number
  readonly leftMs?: number
}

export interface AuditOptions {
  readonly entries: readonly Entry[]
  /** Labels are relative to it and the audited children run in it. @default process.cwd() */
  readonly cwd?: string
  /** The node to audit with. @default process.execPath */
  readonly nodePath?: string
  /** Flags for it. @default [] */
  readonly nodeArguments?: readonly string[]
  /** Environment of the audited program beside PATH and HOME. @default {} */
  readonly env?: Readonly<Record<string, string>>
  /** process.argv after the entry. @default [] */
  readonly arguments?: readonly string[]
  /** Plain runs for the floor. @default 5 */
  readonly runs?: number
  /** Proposals to prove, the largest predicted first. @default 10 */
  readonly proofs?: number
  /** Runs per proof. @default 2 */
  readonly proofRuns?: number
  /** A package or module is heavy from here on. @default 1 MiB */
  readonly heavyBytes?: number
  /** A collection is made when the heap moved this much; 0 = 64 KiB, 128 KiB on Node 20. @default 0 */
  readonly thresholdBytes?: number
  /** Propose edges inside packages too. @default false */
  readonly everywhere?: boolean
  /** `a.js -> b.js`. @default [] */
  readonly whatIf?: readonly string[]
  /** Packages or modules to keep out of the floor. @default [] */
  readonly cut?: readonly string[]
  /** Where self-tests and results are remembered; false remembers nothing. @default ~/.cache/byre/audit */
  readonly cacheFolder?: string | false
  /** Longest a single child may run. @default 120000 */
  readonly childTimeoutMs?: number
  /** Calibrated children at the same time; their figures do not depend on the load. @default 2 */
  readonly parallel?: number
  /** How far the run goes that watches for unused packages. Past 'loaded' the program is run for real, with all it does:
   *  a worker under `byre run`, else the file itself, which calls markReady(). No message is sent to it, so what is not
   *  used within a second after ready is not used before the first message. @default 'loaded' */
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
