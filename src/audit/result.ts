// The result of an audit, as JSON carries it. Reports read this and nothing else.

import type { ChainStep } from './chain.ts'
import type { ModuleKind } from './module-graph.ts'

export const AUDIT_VERSION = 1

/** Median of `runs` and the widest distance between two of them. */
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
  /** [from, to, kind, line] by index into `modules`; line 0 = not looked up. */
  readonly edges: readonly (readonly [from: number, to: number, kind: string])[]
  readonly savings: readonly SavingReport[]
  /** Asked for by --cut and --what-if. */
  readonly answers: readonly Answer[]
  readonly usage?: UsageReport
  readonly instrument: Instrument
  /** What a reader must know before believing the rest. */
  readonly warnings: readonly string[]
  /** Why the audit is incomplete; absent when it is whole. */
  readonly partial?: string
  /** True when nothing was measured because no loaded file had changed. */
  readonly cached?: boolean
}

/** Memory once the entries are loaded. `plain`: the program as people start it. `calibrated`: what it adds to an empty
 *  program in used heap + external memory, everything fixed that makes runs differ. */
export interface Floor {
  readonly plain: {
    readonly anonBytes: Figure
    readonly ussBytes: Figure
    readonly rssBytes: Figure
    readonly pssBytes: Figure
  }
  /** The same for a program that imports nothing. */
  readonly runtimeAnonBytes: number
  readonly calibratedBytes: Figure
  readonly importMs: number
}

/** What the calibrated child grew by, in parts that were each measured. Bytes of private memory. */
export interface Parts {
  readonly modulesBytes: number
  readonly loaderBytes: number
  /** Calibrated floor minus modules and loader: what nobody was seen allocating. */
  readonly unnamedBytes: number
  /** Of the calibrated floor, 0 to 1. */
  readonly namedShare: number
  /** Free space between live objects in V8's pages. */
  readonly heapSlackBytes: number
  /** Empty pages V8 keeps after a load and gives back in a last-resort collection. Garbage of the moment, no module's. */
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

/** A saving is printed as one only with `proven`: the program ran with these edges stubbed. */
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
      /** Chains that still reach the target when the edge is gone. */
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
    /** 'untouched': imported eagerly, and nothing used an export before `until`; 'unseen': not imported where the
     *  witness can see it. */
    readonly verdict: 'untouched' | 'touched' | 'unseen'
    /** First export that was read, where known. */
    readonly firstUse?: string
  }[]
  /** 'loaded': all imports of the entry are done. 'first-message': ready, and a second without any message. */
  readonly until: 'loaded' | 'ready' | 'first-message'
}

/** What the instruments cost. */
export interface Instrument {
  readonly bareMs: number
  readonly probedMs: number
  readonly probedBytes: number
  readonly collections: number
  readonly collectionsMs: number
  readonly children: number
  readonly totalMs: number
}
