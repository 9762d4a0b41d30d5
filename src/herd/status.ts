// The data that `GET /workers`, `byre status --json` and SSE print; its names are stable. Bytes are integers named ...Bytes,
// times are named ...Ms; a figure that could not be measured is absent, with its reason in `unavailable`.

import type { Clock } from '../base/clock.ts'
import type { BusHealth } from '../bus/bus.ts'
import type { Placement } from '../config/types.ts'
import type { LogLevel } from '../log/logger.ts'
import type { StackOwners } from '../ownership/stack.ts'

export const STATUS_VERSION = 1

export type WorkerStateName =
  | 'dormant'
  | 'loading'
  | 'starting'
  | 'running'
  | 'stopping'
  | 'stopped'
  | 'backing-off'
  | 'quarantined'
  | 'standby'

export type Verdict =
  | 'done'
  | 'stopped'
  | 'failed'
  | 'threw-stray'
  | 'stalled'
  | 'oom-heap'
  | 'oom-host'
  | 'killed'
  | 'launch-failed'
  | 'unknown'

export interface ExitRecord {
  readonly verdict: Verdict
  /** One sentence. */
  readonly reason: string
  /** Error type, message, stack, code and other facts, and which of them were not available. */
  readonly evidence: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** How often a worker blocked its loop, and the last time it did. */
export interface StallStatus {
  readonly count: number
  readonly last: {
    /** Absent if the loop could not be paused. */
    readonly kind?: 'javascript' | 'native'
    /** A lower bound. */
    readonly blockedMs: number
    /** Milliseconds since the epoch. */
    readonly at: number
    /** How the worker was identified. */
    readonly by?: 'placement' | 'stack' | 'context' | 'entered'
    readonly function?: string
    readonly file?: string
    readonly line?: number
    /** The function of Node that was called there. */
    readonly call?: string
  }
}

/** A worker whose placement differs from its config. */
export interface MovedStatus {
  readonly to: Placement
  /** 'hand': byre move. 'eject': onLimit, onStall, or the worker ended the last process. */
  readonly by: 'hand' | 'eject'
  readonly why: string
  /** Milliseconds since the epoch. After `until` the next start uses the placement of the config. */
  readonly at: number
  readonly until?: number
}

/** V8's figures of one heap. */
export interface HeapFigures {
  readonly usedBytes: number
  readonly totalBytes: number
  /** Memory outside the heap that heap objects own, such as Buffers. */
  readonly externalBytes: number
  /** The heap limit: V8 aborts beyond it. */
  readonly limitBytes: number
}

/** The latest figures of a worker in a thread or process, sampled from outside; see `sampler` in the config. */
export interface WorkerSample {
  /** When RSS and CPU were read: ms since the epoch, and ms ago. */
  readonly at?: number
  readonly ageMs?: number
  /** CPU time since the start, and the share of the time since the previous sample; 1.0 = one core. */
  readonly cpuMs?: number
  readonly cpuRatio?: number
  readonly cpuWindowMs?: number
  /** Figures of the process. */
  readonly rssBytes?: number
  readonly pssBytes?: number
  readonly anonBytes?: number
  readonly pssAgeMs?: number
  /** As reported by the worker's own loop. */
  readonly heap?: HeapFigures & { readonly source: 'v8'; readonly ageMs: number }
  /** metric name -> why it is absent. */
  readonly unavailable?: Readonly<Record<string, string>>
}

export interface WorkerStatus {
  readonly name: string
  readonly state: WorkerStateName
  readonly placement: Placement
  readonly activation: 'eager' | 'lazy'
  readonly pid?: number
  readonly tid?: number
  readonly restarts: number
  readonly failures: number
  /** By verdict; absent before the first failure. */
  readonly failuresBy?: Readonly<Partial<Record<Verdict, number>>>
  readonly critical?: true
  readonly startedAt?: number
  readonly readyAt?: number
  /** Time of the next start; in state backing-off. */
  readonly retryAt?: number
  /** The conditions that the worker waits for (`after`, `requires`, bus, lease), if any. */
  readonly waitingFor?: readonly string[]
  /** For a worker with a lease: whether it holds the lease or waits for it. Absent while it does neither. */
  readonly lease?: { readonly held: boolean }
  /** The last load. A figure that other workers contributed to is absent, with the reason in `unavailable`. */
  readonly load?: {
    readonly ms?: number
    /** Growth of the RSS of the process. */
    readonly rssBytes?: number
    readonly unavailable?: Readonly<Record<string, string>>
  }
  /** CPU share of the thread or process over the sampler's last window; 1.0 = one core. */
  readonly cpu?: number
  readonly rssBytes?: number
  readonly sample?: WorkerSample
  readonly codeChanged?: boolean
  readonly wakes: number
  readonly lastWake?: { readonly by: string; readonly at: number }
  readonly ticksSkipped?: number
  readonly unclaimed?: number
  /** Messages kept for the worker. */
  readonly queued?: number
  readonly busDropped?: number
  readonly stalls?: StallStatus
  readonly lastExit?: ExitRecord
  /** The reason for the quarantine, in one sentence. */
  readonly quarantine?: string
  readonly moved?: MovedStatus
}

export interface SupervisorStatus {
  readonly version: number
  readonly host: string
  readonly herd: string
  readonly group: string
  readonly pid: number
  readonly startedAt: number
  readonly phase?: 'starting' | 'up' | 'draining' | 'down'
  /** Workers that are loading, and that wait for admission. */
  readonly admission?: { readonly loading: number; readonly waiting: number }
  /** `connections`: open connections to the server. The other fields are present with a networked bus. */
  readonly bus: { readonly kind: 'embedded' | 'redis'; readonly connections: number } & Partial<BusHealth>
  readonly process: {
    readonly rssBytes?: number
    /** PSS, USS and anonymous memory come from one read of smaps_rollup, at most 100 ms old. */
    readonly pssBytes?: number
    readonly ussBytes?: number
    readonly anonBytes?: number
    readonly heapUsedBytes: number
    readonly loopDelayP99Ms?: number
    /** CPU time per wall time since the start; 1.0 = one core. */
    readonly cpuRatio: number
    /** metric name -> why it is absent. */
    readonly unavailable?: Readonly<Record<string, string>>
  }
  readonly phases: {
    readonly spawnMs?: number
    readonly importsMs?: number
    readonly configMs?: number
    readonly busMs?: number
    readonly readyMs?: number
  }
  readonly workers: readonly WorkerStatus[]
}

/** One state change: a log line, a bus event (`system.<worker>.event`) and an SSE `transition`. */
export interface TransitionEvent {
  readonly v: 1
  readonly ts: number
  readonly worker: string
  readonly from: WorkerStateName
  readonly to: WorkerStateName
  readonly reason: string
}

export const CONTROL_ACTIONS = [
  'start',
  'stop',
  'restart',
  'wake',
  'sleep',
  'move',
  'log-level',
  'status',
] as const
export type ControlAction = (typeof CONTROL_ACTIONS)[number]

/** A validated control message, from the socket or the bus. */
export interface ControlCommand {
  readonly v: 1
  readonly id: string
  readonly action: ControlAction
  /** Name of the requester, for the log. */
  readonly by: string
  readonly worker: string
  readonly args?: { readonly level?: LogLevel; readonly to?: Placement }
}

export interface ControlOk {
  readonly v: 1
  readonly id: string
  readonly ok: true
  readonly worker: string
  readonly state: WorkerStateName
  /** For the operator, e.g. that changed code is not loaded by a restart. */
  readonly warning?: string
}
export interface ControlRefused {
  readonly v: 1
  readonly id: string
  readonly ok: false
  readonly error: { readonly code: string; readonly message: string }
}
/** `status` is the HTTP status: 202, or 400, 404, 409, 413, 429. */
export interface ControlReply {
  readonly status: 202 | 400 | 404 | 409 | 413 | 429
  readonly body: ControlOk | ControlRefused
}

export interface ProfileRequest {
  readonly kind: 'cpu' | 'heap'
  readonly windowMs: number
  /** Profiles the thread or process of this worker, if it has one. @default the shared loop */
  readonly worker?: string
}

/** Use of a loop by worker: `self` in microseconds (cpu) or in bytes still alive (heap). */
export interface ProfileReport {
  readonly version: 1
  readonly kind: 'cpu' | 'heap'
  readonly windowMs: number
  /** Path of the profile for Chrome DevTools and speedscope, on the supervisor's machine. */
  readonly file: string
  /** Sum over everything that was not idle. */
  readonly total: number
  readonly idle: number
  readonly workers: readonly { readonly worker: string; readonly self: number }[]
  /** byre's own work that no worker caused. */
  readonly byre: number
  /** V8 and Node. */
  readonly runtime: number
  readonly unattributed: number
  readonly places: readonly { readonly where: string; readonly self: number }[]
}

/** Profiles one thread or process and writes the file to `folder`, named after `label`. */
export type OutsideProfiler = (
  request: ProfileRequest & { readonly folder: string; readonly label: string },
) => Promise<ProfileReport>

/** Input of a profile: whose code runs in the loop, and where the file goes. */
export interface ProfileSource {
  /** Called at the end of the window. */
  readonly owners: () => Promise<StackOwners>
  /** The worker that has the loop to itself, so that all code that is not byre's is its own. */
  readonly only?: string
  readonly folder: string
  readonly label: string
  readonly clock: Clock
  /** The profiler of a worker in a thread or process; 'shared' for a worker of the shared loop, 'absent' if the worker does not run or cannot be profiled. */
  readonly outside: (worker: string) => OutsideProfiler | 'shared' | 'absent'
}

/** The supervisor, as the control socket, the HTTP listener and the fleet commands use it. */
export interface ControlTarget {
  status(): Promise<SupervisorStatus>
  /** Decides and starts the action. Never throws, never waits for the worker. */
  act(command: ControlCommand): ControlReply
  /** Absent if profiles are not supported. */
  profileSource?(): ProfileSource
  /** Calls `listener` for every transition. Returns a function that removes it. */
  onTransition(listener: (event: TransitionEvent) => void): () => void
}
