// The versioned result that `byre measure` writes and `byre compare` reads. Bytes are integers, times are ms. A figure that
// could not be measured is absent, with its reason in `absent`.

/** Names of the figures of a run, for summaries, ceilings and comparisons; units are in the names. */
export type MetricName =
  | 'peakBytes'
  | 'anonBytes'
  | 'fileBytes'
  | 'kernelBytes'
  | 'pssBytes'
  | 'ussBytes'
  | 'rssBytes'
  | 'largestRssBytes'
  | 'wallMs'
  | 'userMs'
  | 'systemMs'
  | 'minorFaults'
  | 'majorFaults'
  | 'voluntarySwitches'
  | 'involuntarySwitches'
  | 'readBytes'
  | 'writtenBytes'
  | 'networkReceivedBytes'
  | 'networkSentBytes'

export type Metrics = Readonly<Partial<Record<MetricName, number>>>

/** `cold`: `--prepare` ran immediately before the run. */
export type Phase = 'cold' | 'warm'

/** Source of the peak. `sampled` misses processes that lived only between two samples. */
export type PeakSource = 'cgroup-v2' | 'cgroup-v1' | 'sampled'

/** The composition of the cgroup's memory at the highest sampled moment. */
export interface PeakSplit {
  readonly atMs: number
  readonly currentBytes: number
  readonly anonBytes: number
  /** Page cache, including tmpfs and shared memory. */
  readonly fileBytes: number
  /** Kernel memory charged to the cgroup: page tables, stacks, slab, sockets. Absent if the kernel does not report it. */
  readonly kernelBytes?: number
}

export interface Peak {
  readonly source: PeakSource
  /** How the cgroup was obtained ('a new cgroup v2 below /a/b'), or why there is none. */
  readonly way: string
  readonly bytes?: number
  readonly split?: PeakSplit
}

export type Outcome =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'killed'; readonly signal: string }
  | { readonly kind: 'not-started'; readonly reason: string }

/** A process at the moment of the highest PSS. */
export interface ProcessAtPeak {
  readonly pid: number
  readonly name: string
  /** At most 200 characters. */
  readonly command: string
  readonly stage: string
  readonly pssBytes: number
  readonly ussBytes: number
  readonly rssBytes: number
  readonly anonBytes: number
}

export interface StageFigures {
  readonly name: string
  /** Highest total PSS of the stage's processes; atPeakPssBytes is its PSS at the peak of the whole tree. */
  readonly peakPssBytes: number
  readonly peakAnonBytes: number
  readonly atPeakPssBytes: number
  /** Time during which samples contain a process of the stage. */
  readonly wallMs: number
  /** CPU time up to the last sample of each process; later CPU time is in no stage. */
  readonly cpuMs: number
  /** Highest number of processes at once. */
  readonly processes: number
}

/** Columns of equal length, at most TIMELINE_LIMIT, with one row per kept sample. */
export interface Timeline {
  readonly atMs: readonly number[]
  /** Charged memory of the cgroup; absent without one. */
  readonly currentBytes?: readonly number[]
  readonly stages: Readonly<Record<string, readonly number[]>>
  /** PSS of the largest processes by `name pid`; the rest are summed as 'others'. */
  readonly processes: Readonly<Record<string, readonly number[]>>
}

export interface SamplingFacts {
  /** Readings of the whole tree; `readings` counts those of the cgroup, which is read more often. */
  readonly samples: number
  readonly readings: number
  readonly cpuMs: number
  /** CPU time of sampling divided by wall time: the share of one core. */
  readonly cpuRatio: number
  readonly medianIntervalMs?: number
  readonly mostProcesses: number
  /** Readings of a living process that the kernel denied. */
  readonly unreadable: number
  /** Readings of the tree that were discarded because too many processes started or ended meanwhile. */
  readonly givenUp: number
  /** Upper bound of the error of the highest PSS due to processes that started or ended during its reading. */
  readonly pssUncertainBytes?: number
}

export interface VerifyRow {
  readonly what: string
  readonly ok: boolean
  readonly found: string
}

export interface LimitFacts {
  readonly limitBytes: number
  /** `reclaimed`: the command completed, but the kernel had to reclaim memory at the limit. */
  readonly fit: 'fitted' | 'reclaimed' | 'killed' | 'not-imposed'
  readonly evidence: string
}

/** A member of the tree that was found in another cgroup: its memory is not in the peak. */
export interface Escaped {
  readonly pid: number
  readonly name: string
  readonly cgroup: string
}

/** A process that outlived the measured command. */
export interface RemainingProcess {
  readonly pid: number
  readonly name: string
}

export interface RunResult {
  readonly lane: string
  readonly phase: Phase
  /** Number of the run in its lane and phase, from 1. */
  readonly run: number
  readonly startedAt: string
  readonly outcome: Outcome
  /** Exit status 0, not interrupted, and every verification passed. */
  readonly ok: boolean
  /** The user interrupted it. */
  readonly interrupted: boolean
  readonly peak: Peak
  readonly metrics: Metrics
  readonly absent: Readonly<Record<string, string>>
  readonly stages: readonly StageFigures[]
  readonly drivingStage?: string
  readonly topProcesses: readonly ProcessAtPeak[]
  readonly sampling: SamplingFacts
  readonly verify: readonly VerifyRow[]
  readonly sizes: Readonly<Record<string, number>>
  readonly escaped: readonly Escaped[]
  /** Processes that were alive after the command had ended; byre killed them. */
  readonly leftovers: readonly RemainingProcess[]
  readonly limit?: LimitFacts
  readonly output: { readonly bytes: number; readonly unloggedBytes: number; readonly lastLines: string }
  readonly notes: readonly string[]
  /** Only for the run with the highest peak of its lane and phase. */
  readonly timeline?: Timeline
}

/** Results have verdicts only when these facts are equal, except for the host name. */
export interface HostFacts {
  readonly host: string
  readonly cpuModel: string
  readonly cpus: number
  readonly totalMemoryBytes: number
  readonly kernel: string
  readonly node: string
}

export interface MeasureResult {
  readonly version: 1
  readonly kind: 'byre-measure'
  readonly label: string
  readonly startedAt: string
  readonly host: HostFacts
  /** 1 min load average before the first run. */
  readonly loadAtStart: number
  readonly intervalMs: number
  readonly lanes: readonly { readonly name: string; readonly command: string }[]
  readonly warmups: number
  readonly runs: readonly RunResult[]
  readonly ok: boolean
  readonly interrupted: boolean
  readonly ceiling?: {
    readonly metric: MetricName
    readonly limitBytes: number
    readonly broken: readonly string[]
  }
}
