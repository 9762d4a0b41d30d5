// What `GET /workers`, `byre status --json` and SSE print: plain data, stable names. Bytes are integers named
// ...Bytes, times ...Ms; what could not be measured is absent, with its reason in `unavailable`.

import type { Clock } from '../base/clock.ts'
import type { BusHealth } from '../bus/bus.ts'
import type { Placement } from '../config/types.ts'
import type { LogLevel } from '../log/logger.ts'

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
  /** One sentence for the user. */
  readonly reason: string
  /** Facts for the operator: error type, message, stack, code, what was not available. */
  readonly evidence: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** How often a worker held a loop, and how the last time looked. */
export interface StallStatus {
  readonly count: number
  readonly last: {
    /** Absent where the loop could not be paused. */
    readonly kind?: 'javascript' | 'native'
    /** At least this long. */
    readonly blockedMs: number
    /** Milliseconds since the epoch. */
    readonly at: number
    /** What the name of the worker rests on. */
    readonly by?: 'placement' | 'stack' | 'context' | 'entered'
    readonly function?: string
    readonly file?: string
    readonly line?: number
    /** The function of Node it called there. */
    readonly call?: string
  }
}

/** A worker that does not live where its config says. */
export interface MovedStatus {
  readonly to: Placement
  /** 'hand': byre move. 'eject': onLimit, onStall, or it took the last process down. */
  readonly by: 'hand' | 'eject'
  readonly why: string
  /** Milliseconds since the epoch; after `until` the next start is where the config says. */
  readonly at: number
  readonly until?: number
}

/** What V8 counts of one heap. */
export interface HeapFigures {
  readonly usedBytes: number
  readonly totalBytes: number
  /** Buffers and what else hangs on the heap. */
  readonly externalBytes: number
  /** Of the heap; V8 gives up beyond it. */
  readonly limitBytes: number
}

/** The latest figures of a worker in a thread or process of its own, taken from outside; see `sampler` in the config. */
export interface WorkerSample {
  /** When RSS and CPU were read, ms since the epoch, and how long ago that was. */
  readonly at?: number
  readonly ageMs?: number
  /** CPU time since it began, and of the time since the sample before, 1.0 = one core. */
  readonly cpuMs?: number
  readonly cpuRatio?: number
  readonly cpuWindowMs?: number
  /** Of its process. */
  readonly rssBytes?: number
  readonly pssBytes?: number
  readonly anonBytes?: number
  readonly pssAgeMs?: number
  /** Its own word, as its loop gave it. */
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
  /** The same by verdict; absent before the first. */
  readonly failuresBy?: Readonly<Partial<Record<Verdict, number>>>
  readonly critical?: true
  readonly startedAt?: number
  readonly readyAt?: number
  /** Next start, when backing off. */
  readonly retryAt?: number
  /** What the worker waits for (`after`, `requires`, bus, lease), when it waits. */
  readonly waitingFor?: readonly string[]
  /** Of a worker with a lease: whether its run holds it, or it stands by. Absent while it does neither. */
  readonly lease?: { readonly held: boolean }
  /** Of its last load, once it was loaded. Absent is what others had a part in, with the reason in `unavailable`. */
  readonly load?: {
    readonly ms?: number
    /** Growth of the RSS of its process. */
    readonly rssBytes?: number
    readonly unavailable?: Readonly<Record<string, string>>
  }
  /** CPU ratio of its thread or process over the sampler's last window, 1.0 = one core. */
  readonly cpu?: number
  readonly rssBytes?: number
  readonly sample?: WorkerSample
  readonly codeChanged?: boolean
  readonly wakes: number
  readonly lastWake?: { readonly by: string; readonly at: number }
  readonly ticksSkipped?: number
  readonly unclaimed?: number
  /** Messages kept until it takes them. */
  readonly queued?: number
  readonly busDropped?: number
  readonly stalls?: StallStatus
  readonly lastExit?: ExitRecord
  /** Why it is quarantined, in one sentence. */
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
  /** Workers that load now, and that wait for their turn to. */
  readonly admission?: { readonly loading: number; readonly waiting: number }
  /** `connections` are those held upstream now; the rest is there with a bus behind a network. */
  readonly bus: { readonly kind: 'embedded' | 'redis'; readonly connections: number } & Partial<BusHealth>
  readonly process: {
    readonly rssBytes?: number
    /** PSS, USS and anonymous memory are of one walk of the page tables, at most 100 ms old. */
    readonly pssBytes?: number
    readonly ussBytes?: number
    readonly anonBytes?: number
    readonly heapUsedBytes: number
    readonly loopDelayP99Ms?: number
    /** CPU seconds per wall second since start, 1.0 = one core. */
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

/** One state change; a pino line, a bus event (`system.<worker>.event`) and an SSE `transition`. */
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

/** A control message after validation; from the socket or from the bus. */
export interface ControlCommand {
  readonly v: 1
  readonly id: string
  readonly action: ControlAction
  /** Who asks; for the log. */
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
  /** Something the operator should know, e.g. changed code that a restart does not load. */
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
  /** Of this worker's own thread or process, when it has one. @default the shared loop */
  readonly worker?: string
}

/** Who used what of the shared loop: `self` in microseconds (cpu) or bytes that still lived (heap). */
export interface ProfileReport {
  readonly version: 1
  readonly kind: 'cpu' | 'heap'
  readonly windowMs: number
  /** For Chrome DevTools and speedscope; on the machine of the supervisor. */
  readonly file: string
  /** Of everything that was not idle. */
  readonly total: number
  readonly idle: number
  readonly workers: readonly { readonly worker: string; readonly self: number }[]
  /** byre's own work for nobody in particular. */
  readonly byre: number
  /** V8 and Node themselves. */
  readonly runtime: number
  readonly unattributed: number
  readonly places: readonly { readonly where: string; readonly self: number }[]
}

/** Takes the profile of one thread or process and keeps its file in `folder`, named after `label`. */
export type OutsideProfiler = (
  request: ProfileRequest & { readonly folder: string; readonly label: string },
) => Promise<ProfileReport>

/** What a profile needs to know: who lives in the shared loop, and where files go. */
export interface ProfileSource {
  readonly members: readonly { readonly name: string; readonly modulePath: string }[]
  readonly folder: string
  readonly label: string
  readonly ownRoot: string
  readonly clock: Clock
  /** The profiler of a worker with a loop of its own; 'shared' for one without, 'absent' when nothing of it runs or can be asked. */
  readonly outside: (worker: string) => OutsideProfiler | 'shared' | 'absent'
}

/** What the control surfaces (socket, HTTP listener, bus) are given; the supervisor implements it. */
export interface ControlTarget {
  status(): Promise<SupervisorStatus>
  /** Decides and starts the action; never throws, never waits for the worker. */
  act(command: ControlCommand): ControlReply
  /** Absent where nothing can be profiled. */
  profileSource?(): ProfileSource
  /** Every transition from now on. Returns its release. */
  onTransition(listener: (event: TransitionEvent) => void): () => void
}
