// The result of an audit, as written to JSON. Reports depend on these types only.

import type { ChainStep } from './chain.ts'
import type { ModuleKind } from './module-graph.ts'

export const AUDIT_VERSION = 1

/** Median of `runs` values and the difference between the largest and the smallest. */
export interface Figure {
  readonly medianBytes: number
  readonly spreadBytes: number
  readonly runs: number
}

export interface AuditResult {
  readonly version: typeof AUDIT_VERSION
  readonly entries: readonly {
    readonly name: string
    readonly url: string
    readonly how: 'import' | 'require'
  }[]
  readonly nodeVersion: string
  readonly cwd: string
  readonly takenAt: string
  readonly floor: Floor
  readonly parts: Parts
  readonly packages: readonly PackageReport[]
  readonly modules: readonly ModuleReport[]
  /** Edges as indices into `modules`. */
  readonly edges: readonly (readonly [from: number, to: number, kind: string])[]
  readonly savings: readonly SavingReport[]
  /** Answers to --cut and --what-if. */
  readonly answers: readonly Answer[]
  readonly usage?: UsageReport
  readonly instrument: Instrument
  /** Conditions that limit how far the figures can be trusted. */
  readonly warnings: readonly string[]
  /** Why the audit is incomplete; absent when it is complete. */
  readonly partial?: string
  /** True when the result is from the cache because no loaded file has changed. */
  readonly cached?: boolean
}

/** Memory once the entries are loaded. `plain`: the program started normally. `calibratedBytes`: used heap +
 *  external memory it adds to an empty program, in runs in which everything that causes variation is fixed. */
export interface Floor {
  readonly plain: {
    readonly anonBytes: Figure
    readonly ussBytes: Figure
    readonly rssBytes: Figure
    readonly pssBytes: Figure
  }
  /** Anonymous memory of a plain run that imports nothing. */
  readonly runtimeAnonBytes: number
  readonly calibratedBytes: Figure
  readonly importMs: number
}

/** The growth of the calibrated child, split into separately measured parts. Bytes of private memory. */
export interface Parts {
  readonly modulesBytes: number
  readonly loaderBytes: number
  /** Calibrated floor minus modules and loader: bytes that could not be attributed. */
  readonly unnamedBytes: number
  /** Attributed share of the calibrated floor, 0 to 1. */
  readonly namedShare: number
  /** Free space between live objects in V8's pages. */
  readonly heapSlackBytes: number
  /** Empty pages that V8 keeps after a load and releases in a last-resort collection. Temporary garbage that belongs
   *  to no module. */
  readonly pagePoolBytes: number
  /** Growth of malloc's heap. */
  readonly nativeBytes: number
}

export interface PackageReport {
  readonly name: string
  readonly moduleCount: number
  readonly selfBytes: number
  readonly retainedBytes: number
  readonly chain: readonly ChainStep[]
}

export interface ModuleReport {
  readonly label: string
  readonly url: string
  readonly kind: ModuleKind
  readonly packageName: string
  readonly selfBytes: number
  readonly retainedBytes: number
  /** Index of the immediate dominator; -1 for the program. */
  readonly dominator: number
}

export interface EdgeReport {
  readonly from: string
  readonly to: string
  readonly line?: number
  readonly specifier?: string
}

export interface SavingReport {
  readonly edges: readonly EdgeReport[]
  readonly predictedBytes: number
  readonly target?: string
  readonly alternatives: readonly (readonly EdgeReport[])[]
  readonly proof: Proof
}

/** Only a `proven` proposal is printed as a saving: the program ran with these edges stubbed. */
export type Proof =
  | {
      readonly kind: 'proven'
      readonly savedBytes: number
      readonly spreadBytes: number
      readonly runs: number
    }
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'not-run' }

export type Answer =
  | {
      readonly kind: 'what-if'
      readonly question: string
      readonly saving: SavingReport
      /** The shortest chain that still reaches the target without the edge. */
      readonly stillReachedBy?: readonly ChainStep[]
    }
  | {
      readonly kind: 'cut'
      readonly question: string
      readonly saving: SavingReport
      readonly complete: boolean
    }
  | {
      readonly kind: 'no-cut'
      readonly question: string
      readonly reason: string
      readonly chain: readonly ChainStep[]
    }

export interface UsageReport {
  readonly packages: readonly {
    readonly name: string
    /** 'untouched': imported eagerly, but no export was used before `until`. 'unseen': not imported in a way
     *  that the witness can detect. */
    readonly verdict: 'untouched' | 'touched' | 'unseen'
    /** The first export that was used, when known. */
    readonly firstUse?: string
  }[]
  /** 'loaded': all imports of the entry are done. 'first-message': one second after ready, without any message. */
  readonly until: 'loaded' | 'ready' | 'first-message'
}

/** The cost of the instruments themselves. */
export interface Instrument {
  readonly bareMs: number
  readonly probedMs: number
  readonly probedBytes: number
  readonly collections: number
  readonly collectionsMs: number
  readonly children: number
  readonly totalMs: number
}
