// From the `placement` of a worker to the code that does it. Threads and processes are loaded with the first worker that
// lives in one: most herds have none, and node:worker_threads and node:child_process are not free.

import type { Clock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import { lazyModule } from '../../base/lazy.ts'
import type { Placement as PlacementName } from '../../config/types.ts'
import type { HostBus, RawDelivery, ScopedBus, ScopedBusOptions } from '../../bus/bus.ts'
import { noteEntry } from '../attribution/run-scope.ts'
import type { Offloader } from '../../worker/offload.ts'
import type { Captures } from '../captures.ts'
import type { SupervisorOptions } from '../options.ts'
import { wakers } from '../inbox.ts'
import type { Residence } from '../residence.ts'
import type { HerdHolds } from '../resource-scope.ts'
import type { Runner } from '../runner.ts'
import type { Stall } from '../stall/protocol.ts'
import type { Instance, LaunchRequest, Placement } from './placement.ts'
import type { RemoteParts } from './seat.ts'
import type { SharedPlacement } from './shared.ts'

export type PlacementOf = (name: PlacementName) => Placement

/** What the supervisor gives for workers outside its loop. */
export interface Hosting {
  readonly clock: Clock
  readonly options: SupervisorOptions
  readonly runnerOf: (worker: string) => Pick<Runner, 'openBus' | 'inbox' | 'spec'>
  readonly captures: Captures
  readonly offloader: Offloader
  readonly resources: HerdHolds
  readonly residence: Residence
  readonly onStalled: (stall: Stall) => void
}

export function createPlacements(shared: Placement, hosting: Hosting): PlacementOf {
  const parts = lazyModule(async () => partsOf(hosting))
  const thread = late(async () => (await import('./thread.ts')).createThreadPlacement(await parts.load()))
  const separate = late(async () => (await import('./process.ts')).createProcessPlacement(await parts.load()))
  const table: Readonly<Record<PlacementName, Placement>> = { shared, thread, process: separate }
  return (name) => table[name]
}

async function partsOf(hosting: Hosting): Promise<RemoteParts> {
  const { clock, options, runnerOf, captures, offloader, resources, residence, onStalled } = hosting
  const { log, bus, herd, ownRoot, stateFolder, label } = options
  const { createSampler } = await import('../sampler/sampler.ts')
  return {
    clock,
    log: log.root,
    logOf: (worker) => log.worker(worker),
    busOf: (worker) => runnerOf(worker).openBus(),
    giveBack: (worker, deliveries) => giveBack(runnerOf(worker), deliveries),
    answer: (replyTo, payload, inReplyTo) => bus.publishSystem(replyTo, payload, { inReplyTo }),
    resourcesOf: (worker) => resources.hold(worker),
    offload: (moduleUrl, input, given) => offloader.run(moduleUrl, input, given),
    output: (worker, stream, chunk) => captures.write(worker, stream, chunk),
    ejectStalled: (spec, why) => {
      if (residence.of(spec) !== 'process') residence.move(spec, 'process', 'eject', why)
    },
    stalled: onStalled,
    sampler: createSampler({ ...herd.sampler, clock, log: log.root }),
    limits: herd.limits,
    ownRoot,
    reportFolder: stateFolder,
    label,
  }
}

function giveBack(runner: Pick<Runner, 'inbox' | 'spec'>, deliveries: readonly RawDelivery[]): void {
  runner.inbox.giveBack(runner.inbox.holds > 0 ? deliveries : wakers(runner.spec, deliveries))
}

/** The bus of one run of `runner`, with what is kept for it. */
export function openBus(bus: HostBus, runner: Runner, shared: SharedPlacement): ScopedBus {
  return bus.scoped(runner.name, new RunnerHooks(runner, shared))
}

class RunnerHooks implements ScopedBusOptions {
  readonly #runner: Runner
  readonly #shared: SharedPlacement

  constructor(runner: Runner, shared: SharedPlacement) {
    this.#runner = runner
    this.#shared = shared
  }
  claim(covers: (topic: string) => boolean): readonly RawDelivery[] {
    return this.#runner.inbox.claim(covers)
  }
  returned(deliveries: readonly RawDelivery[]): void {
    giveBack(this.#runner, deliveries)
  }
  delivering(): void {
    const scope = this.#shared.runOf(this.#runner.name)
    if (scope !== undefined) noteEntry(scope)
  }
}

/** A placement whose code comes with its first launch. */
function late(load: () => Promise<Placement>): Placement {
  const placement = lazyModule(load)
  return {
    launch: (request) =>
      placement.loaded?.launch(request) ?? launchLate(request, async () => placement.load()),
  }
}

/** Until the code is there, an instance of which nothing exists yet. */
function launchLate(request: LaunchRequest, load: () => Promise<Placement>): Instance {
  let inner: Instance | undefined
  let released = false
  load().then(
    (placement) => {
      if (!released) inner = placement.launch(request)
    },
    (error: unknown) => {
      const { type, message } = describeThrown(error)
      const text = `its placement could not be loaded: ${type}: ${message}`
      if (!released)
        request.events.ended({ verdict: 'launch-failed', text, evidence: { ...describeThrown(error) } })
    },
  )
  return {
    run: () => inner?.run(),
    abort: (reason) => inner?.abort(reason),
    kill: () => inner?.kill?.(),
    setLevel: (level) => inner?.setLevel?.(level),
    relieve: (how) => inner?.relieve?.(how),
    get profile() {
      return inner?.profile
    },
    get whereabouts() {
      return inner?.whereabouts
    },
    release() {
      released = true
      return inner?.release() ?? { timers: [], listeners: [], servers: [] }
    },
  }
}
