// The interface between a run and the thread or process that hosts its worker: a handle that ends it, the events that it
// reports, the exits that only the supervisor can explain, and the services of the supervisor that such a run uses.

import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import type { ByreError } from '../base/errors.ts'
import type { Json } from '../base/json.ts'
import type { RawDelivery, ScopedBus } from '../bus/bus.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { Offloader } from '../worker/offload.ts'
import type { Sampler } from '../watch/sampler/sampler.ts'
import type { Stall } from '../watch/stall/protocol.ts'
import { NOTHING_LEFT } from '../herd/placement.ts'
import type { Exit, Instance, InstanceEvents, LaunchRequest, Whereabouts } from '../herd/placement.ts'
import type { ProcessIdentity } from '../procfs/stat.ts'
import { evidenceOf } from './exits.ts'
import type { OpenOutputPipes } from './output-pipes.ts'
import type { EndChildren } from './supervised-children.ts'
import type { Transport } from './wire/link.ts'

/** The reports of a thread or process to its run. */
export interface ChildEvents {
  /** Called when the child has started. */
  readonly up: (whereabouts: Whereabouts) => void
  /** Called when the child wrote to stdout or stderr. */
  readonly output: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void
  /** Called when text arrived on the wire. */
  readonly text: (text: string) => void
  /** Called when a line arrived by structured clone; from a thread only. */
  readonly posted: (line: unknown) => void
  /** Called when the child has read everything that was written to the wire. */
  readonly drained: () => void
  /** Called once, when the child has ended. `explain` returns the exit for a child that reported none itself. */
  readonly gone: (explain: () => Exit) => void
}

export interface ChildHandle {
  /** Undefined for a script that byre loads no code into. */
  readonly transport: Transport | undefined
  /** Requests the end with SIGTERM. Does nothing in a thread that hosts a module: the wire has already delivered the stop. */
  interrupt(): void
  /** Ends it with SIGKILL or terminate(). Idempotent. */
  kill(): void
  /** Closes the wire: no more text is received. Idempotent. */
  close(): void
  /** The worker has started a child process. Absent for a process, whose children are found from outside. */
  childStarted?(child: ProcessIdentity): void
  /** Reads the output of its children from FIFOs (output-pipes.ts). Absent for a process. */
  readOutput?(id: number): void
}

export type SpawnChild = (request: LaunchRequest, events: ChildEvents) => ChildHandle

/** The services of the supervisor that a run in a thread or process uses. */
export interface ChildServices {
  readonly clock: Clock
  readonly logOf: (worker: string) => Logger
  readonly output: (worker: string, stream: 'stdout' | 'stderr', chunk: Uint8Array) => void
  readonly openPipes: OpenOutputPipes
  /** For the FIFOs of threads. */
  readonly outputFolder: string
  readonly endChildren: EndChildren
  /** A bus scoped to one run. */
  readonly busOf: (worker: string) => ScopedBus
  /** Returns messages that the run has not taken to the front of the worker's mailbox. */
  readonly giveBack: (worker: string, deliveries: readonly RawDelivery[]) => void
  /** HostBus.publishSystem, for replies. */
  readonly reply: (replyTo: string, payload: Json, inReplyTo: string | undefined) => Promise<void>
  /** Runs work on the supervisor's thread pool; for workers in threads. */
  readonly offload: Offloader['run']
  readonly sampler: Sampler
  /** Called when a stall is over. */
  readonly onStall: (stall: Stall) => void
  /** Assigns the worker to a process from its next run on; does nothing for a worker that has one. */
  readonly ejectStalled: (spec: ResolvedWorker, why: string) => void
  readonly limits: { readonly messageBytes: number; readonly buffer: number }
  /** byre's own code lies below this folder. */
  readonly ownRoot: string
}

/** The run of a thread or process whose start could not even be requested (an argument that the kernel refuses, no memory
 *  for a thread). It ends like a run that fails later. */
export function neverStarted(
  kind: 'thread' | 'process',
  events: Pick<InstanceEvents, 'ended'>,
  error: unknown,
): Instance {
  const { type, message } = describeThrown(error)
  const text = `its ${kind} could not be started: ${type}: ${message}`
  process.nextTick(() =>
    events.ended({ verdict: 'launch-failed', text, evidence: { ...describeThrown(error) } }),
  )
  return { run: () => {}, abort: () => {}, release: () => NOTHING_LEFT }
}

/** The child wrote a line that byre's own code does not write. */
export function brokeWire(kind: 'thread' | 'process', error: ByreError): Exit {
  const text = `its ${kind} was ended because it wrote an invalid line to byre's wire: ${error.message}`
  return { verdict: 'failed', text, evidence: { ...evidenceOf(error), ...error.details } }
}

/** byre's own code failed in the child, as reported by the child. Only this worker fails: the others are isolated from it. */
export function childFault(kind: 'thread' | 'process', message: string, stack: string | undefined): Exit {
  const text = `an error of byre's own code ended its ${kind}; please report it: ${message}`
  return {
    verdict: 'failed',
    text,
    evidence: { message, ...(stack === undefined ? {} : { stack }) },
  }
}
