// What stands behind a worker in a thread or a process of its own, as the placement sees it: the seat, which starts and
// ends the thread or process, and what it is given for that.

import type { Clock } from '../base/clock.ts'
import type { Json } from '../base/json.ts'
import type { RawDelivery, ScopedBus } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { Offloader } from '../worker/offload.ts'
import type { Sampler } from '../watch/sampler/sampler.ts'
import type { Stall } from '../watch/stall/protocol.ts'
import type { Exit, LaunchRequest, Whereabouts } from '../herd/placement.ts'
import type { Transport } from './wire/link.ts'

export interface ChildHost {
  readonly clock: Clock
  readonly log: Logger
  readonly logOf: (worker: string) => Logger
  /** A bus scoped to one run. */
  readonly busOf: (worker: string) => ScopedBus
  /** Puts messages the run had in hand back in front of what is kept for the worker. */
  readonly giveBack: (worker: string, deliveries: readonly RawDelivery[]) => void
  /** HostBus.publishSystem, for replies. */
  readonly answer: (replyTo: string, payload: Json, inReplyTo: string | undefined) => Promise<void>
  /** On the supervisor's pool of threads, for the workers in threads. */
  readonly offload: Offloader['run']
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: string | Uint8Array) => void
  readonly sampler: Sampler
  /** A stall of a worker is over. */
  readonly stalled: (stall: Stall) => void
  /** From its next run on the worker lives in a process of its own; nothing for one that does. */
  readonly ejectStalled: (spec: ResolvedWorker, why: string) => void
  readonly limits: { readonly messageBytes: number; readonly buffer: number }
  readonly ownRoot: string
  /** Where V8's fatal reports go. */
  readonly reportFolder: string
  readonly label: string
}

/** What is heard of the thread or process. */
export interface ChildEvents {
  /** It exists. */
  readonly up: (whereabouts: Whereabouts) => void
  readonly text: (text: string) => void
  /** A line that came by structured clone; of a thread. */
  readonly posted: (line: unknown) => void
  readonly drained: () => void
  /** It is gone, for good; called once. `explain` is how that reads when the guest said nothing about it. */
  readonly gone: (explain: () => Exit) => void
}

/** A thread or a process. */
export interface ChildHandle {
  /** Undefined for a script without byre's code inside. */
  readonly transport: Transport | undefined
  /** Asks it to end, where that can be asked: SIGTERM. */
  interrupt(): void
  /** Ends it: SIGKILL, terminate(). Idempotent. */
  kill(): void
  /** No text will be heard any more: closes the wire. Idempotent. */
  close(): void
}

export type SpawnChild = (request: LaunchRequest, parts: ChildHost, events: ChildEvents) => ChildHandle
