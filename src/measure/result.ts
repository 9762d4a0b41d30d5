// What `byre measure` writes and `byre compare` reads: plain data, versioned. Bytes are integers, times are ms; what could
// not be measured is absent, and `absent` says why.

/** Lane figures that summaries, ceilings and comparisons may name. Bytes unless the name says otherwise. */
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

/** `cold`: `--prepare` ran right before it. */
export type Phase = 'cold' | 'warm'

/** What the peak was read from. `sampled` misses what lived between two samples. */
export type PeakSource = 'cgroup-v2' | 'cgroup-v1' | 'sampled'

/** The cgroup at the highest of the sampled moments: what the peak is made of. */
export interface PeakSplit {
  readonly atMs: number
  readonly currentBytes: number
  readonly anonBytes: number
  /** Page cache, tmpfs and shared memory included. */
  readonly fileBytes: number
  /** Kernel memory charged to the cgroup: page tables, stacks, slab, sockets. Absent where the kernel does not tell. */
  readonly kernelBytes?: number
}

export interface Peak {
  readonly source: PeakSource
  /** How the cgroup was had ('a cgroup of its own below /a/b'), or why there is none. */
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
  /** Highest PSS of all its processes together, and what it held when the whole tree was at its highest. */
  readonly peakPssBytes: number
  readonly peakAnonBytes: number
  readonly atPeakPssBytes: number
  /** Time in which samples saw a process of it. */
  readonly wallMs: number
  /** What the samples saw of its CPU; what a process used after its last sample is in no stage. */
  readonly cpuMs: number
  /** Most processes at once. */
  readonly processes: number
}

/** Columns of equal length, at most TIMELINE_LIMIT: one row per kept sample. */
export interface Timeline {
  readonly atMs: readonly number[]
  /** Of the cgroup; absent without one. */
  readonly currentBytes?: readonly number[]
  readonly stages: Readonly<Record<string, readonly number[]>>
  /** By `name pid`; the largest, the rest together as 'others'. PSS. */
  readonly processes: Readonly<Record<string, readonly number[]>>
}

export interface SamplingFacts {
  /** Readings of the whole tree; the cgroup is read more often. */
  readonly samples: number
  readonly readings: number
  readonly cpuMs: number
  /** CPU time of sampling over wall time: the share of one core. */
  readonly cpuRatio: number
  readonly medianIntervalMs?: number
  readonly mostProcesses: number
  /** Readings of a living process that the kernel refused. */
  readonly unreadable: number
  /** Readings of the tree that were given up because too many processes came or went meanwhile. */
  readonly givenUp: number
  /** The most by which the highest PSS may be off because processes came or went while it was read. */
  readonly pssUncertainBytes?: number
}

export interface VerifyRow {
  readonly what: string
  readonly ok: boolean
  readonly found: string
}

export interface LimitFacts {
  readonly limitBytes: number
  /** `reclaimed`: it ran to its end, but the kernel had to take memory back at the limit. */
  readonly fit: 'fitted' | 'reclaimed' | 'killed' | 'not-imposed'
  readonly evidence: string
}

/** A member of the tree that was seen in another cgroup: its memory is not in the peak. */
export interface Escaped {
  readonly pid: number
  readonly name: string
  readonly cgroup: string
}

export interface Leftover {
  readonly pid: number
  readonly name: string
}

export interface RunResult {
  readonly lane: string
  readonly phase: Phase
  /** 1 for the first of its series. */
  readonly run: number
  readonly startedAt: string
  readonly outcome: Outcome
  /** Exit 0 and every verification held. */
  readonly ok: boolean
  /** The user ended it. */
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
  /** Alive after the command had ended; byre ended them. */
  readonly leftovers: readonly Leftover[]
  readonly limit?: LimitFacts
  readonly output: { readonly bytes: number; readonly unloggedBytes: number; readonly lastLines: string }
  readonly notes: readonly string[]
  /** Kept for the run of the highest peak of each series. */
  readonly timeline?: Timeline
}

/** Two results compare only when these are equal. */
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
