// Creates the parts of a herd in the order of their dependencies and gives each the few things it uses.

import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { createScheduler, type Scheduler } from '../base/scheduler.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { createAdmission, type Admission } from '../herd/admission.ts'
import { Assignments } from '../herd/assignments.ts'
import { openRunBus } from '../herd/run-bus.ts'
import type { Runner } from '../herd/runner.ts'
import type { BusOwner, RunnerHost } from '../herd/runner-host.ts'
import { hostedWorkers, WorkerSet } from '../herd/worker-set.ts'
import { CodeOwners } from '../ownership/code-owners.ts'
import { detached } from '../ownership/detached-clock.ts'
import { runInScope } from '../ownership/run-scope.ts'
import { createOutputPipes } from '../placement/output-pipes.ts'
import { createPlacements, type PlacementOf } from '../placement/placements.ts'
import { createSharedPlacement, type SharedPlacement } from '../placement/shared.ts'
import { openSharedResources } from '../placement/shared-resources.ts'
import { SupervisedChildren } from '../placement/supervised-children.ts'
import { createCaptures, type Captures } from '../placement/worker-output.ts'
import { CodeWatch } from '../watch/code-watch.ts'
import { createIdleCollector, type IdleCollector } from '../watch/collect-garbage.ts'
import { createProcessFigures, type ProcessFigures } from '../watch/process-figures.ts'
import { Watches } from '../watch/watches.ts'
import { createOffloader, type Offloader } from '../worker/offload.ts'
import type { ResourcePool } from '../worker/resources.ts'
import type { SupervisorOptions } from './options.ts'

/** The parts that the supervisor itself uses. */
export interface Parts {
  readonly clock: Clock
  readonly scheduler: Scheduler
  readonly figures: ProcessFigures
  readonly offloader: Offloader
  readonly resources: ResourcePool
  readonly assignments: Assignments
  readonly admission: Admission
  readonly shared: SharedPlacement
  readonly captures: Captures
  readonly children: SupervisedChildren
  readonly collector: IdleCollector
  readonly codeWatch: CodeWatch
  readonly codeOwners: CodeOwners
  readonly watches: Watches
  readonly workers: WorkerSet
}

/** The reports of the parts to the supervisor. */
export interface HerdEvents extends Pick<RunnerHost, 'onTransition' | 'onEscalate'> {
  /** The workers of the herd, as of the last reload. */
  readonly hosted: () => readonly ResolvedWorker[]
}

export function wire(options: SupervisorOptions, events: HerdEvents): Parts {
  const { herd, log, bus, stateFolder, label, mode, random } = options
  const clock = detached(options.clock)
  const figures = createProcessFigures(clock)
  const scheduler = createScheduler(clock, figures.lateBy)
  const offloader = createOffloader((fn) => runInScope(undefined, fn))
  const captures = createCaptures((worker) => log.worker(worker), clock)
  const output: Captures['write'] = (worker, stream, chunk) => captures.write(worker, stream, chunk)
  const logOf = (worker: string): ReturnType<typeof log.worker> => log.worker(worker)
  const openPipes = createOutputPipes(stateFolder, log.root)
  const children = new SupervisedChildren({
    clock,
    log: log.root,
    logOf,
    output,
    openPipes: mode === 'run' ? undefined : openPipes,
  })
  const resources = openSharedResources(log.root, clock, children.ofResources)
  const collector = createIdleCollector({ scheduler, clock, log: log.root })
  const codeWatch = new CodeWatch(clock.monotonic)
  const watches = new Watches()
  const codeOwners = new CodeOwners({
    ownRoot: options.ownRoot,
    workers: events.hosted,
    own: [herd.file],
    alone: mode === 'run',
    cacheFile: join(stateFolder, `${label}.imports.json`),
    clock,
    log: log.root,
    onRead: () => watches.ownersChanged(),
  })
  const file = join(stateFolder, `${label}.state.json`)
  const assignments = new Assignments({ file, now: clock.now, log: log.root, alone: mode === 'run' })
  const admission = createAdmission({ ...herd.admission, scheduler, placeOf: (spec) => assignments.of(spec) })

  const runnerOf = (worker: string): Runner => workers.get(worker) as Runner
  const busOf = (worker: string): ReturnType<Runner['openBus']> => runnerOf(worker).openBus()

  const shared = createSharedPlacement(
    {
      context: { monotonic: clock.monotonic, random, scheduler, resources, offloader },
      logOf,
      busOf,
      output,
    },
    {
      memoryShared: () => workers.memoryShared,
      onLoad: (module) => {
        codeWatch.loading(module)
        codeOwners.loading(module)
      },
      globalsLog: mode === 'run' ? undefined : log.root,
      childrenOf: (spec) => children.of(spec),
    },
  )
  const placementOf: PlacementOf = createPlacements(
    shared,
    {
      clock,
      logOf,
      busOf,
      giveBack: (worker, deliveries) => runnerOf(worker).inbox.giveBack(deliveries, runnerOf(worker).spec),
      reply: (replyTo, payload, inReplyTo) => bus.publishSystem(replyTo, payload, { inReplyTo }),
      offload: (moduleUrl, input, given) => offloader.run(moduleUrl, input, given),
      output,
      openPipes,
      outputFolder: stateFolder,
      endChildren: children.end,
      onStall: watches.stalled,
      ejectStalled: (spec, why) => assignments.ejectStalled(spec, why),
      limits: herd.limits,
      ownRoot: options.ownRoot,
    },
    herd.sampler,
    log.root,
    { folder: stateFolder, prefix: label },
  )
  const host = {
    clock,
    random,
    scheduler,
    admission,
    assignments,
    retire(spec: ResolvedWorker) {
      shared.retire(spec)
      children.workerStopped(spec.name)
    },
    placementOf: (spec: ResolvedWorker) => placementOf(codeWatch.launching(spec, assignments)),
    logOf,
    bufferCapacity: herd.limits.buffer,
    openBus: (owner: BusOwner) => openRunBus(bus, owner, (worker) => shared.runOf(worker)),
    leasing: options.leasing,
    ...events,
  }
  const workers: WorkerSet = new WorkerSet(hostedWorkers(herd, options), host, { ...host, bus })
  return {
    clock,
    scheduler,
    figures,
    offloader,
    resources,
    assignments,
    admission,
    shared,
    captures,
    children,
    collector,
    codeWatch,
    codeOwners,
    watches,
    workers,
  }
}
