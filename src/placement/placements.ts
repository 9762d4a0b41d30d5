// Maps a worker's `placement` to its code. The code of threads and processes is loaded with the first worker that has one:
// most herds have none, and node:worker_threads and node:child_process cost memory.

import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import type { Placement as PlacementName } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import { NOTHING_LEFT } from '../herd/placement.ts'
import type { Instance, LaunchRequest, Placement } from '../herd/placement.ts'
import type { SamplerSettings } from '../watch/sampler/sampler.ts'
import type { ChildServices } from './child-handle.ts'
import type { ReportFiles } from './process.ts'

export type PlacementOf = (name: PlacementName) => Placement

/** `services`: what threads and processes use of the supervisor; `log` is that of the herd. */
export function createPlacements(
  shared: Placement & Required<Pick<Placement, 'retire'>>,
  services: Omit<ChildServices, 'sampler'>,
  samplerSettings: SamplerSettings,
  log: Logger,
  reports: ReportFiles,
): PlacementOf {
  const children = lazyModule(async (): Promise<ChildServices> => {
    const { createSampler } = await import('../watch/sampler/sampler.ts')
    return { ...services, sampler: createSampler({ ...samplerSettings, clock: services.clock, log }) }
  })
  const thread = late(async () => {
    const { createChildPlacement } = await import('./child-run.ts')
    const { createThreadSpawner } = await import('./thread.ts')
    return createChildPlacement('thread', createThreadSpawner(services), await children.load())
  })
  const separate = late(async () => {
    const { createChildPlacement } = await import('./child-run.ts')
    const { createProcessSpawner } = await import('./process.ts')
    const spawnProcess = createProcessSpawner(services, log, reports)
    return createChildPlacement('process', spawnProcess, await children.load())
  })
  /** A worker that is launched elsewhere has left the shared loop. */
  const elsewhere = (placement: Placement): Placement => ({
    launch(request) {
      shared.retire(request.spec)
      return placement.launch(request)
    },
  })
  const table: Readonly<Record<PlacementName, Placement>> = {
    shared,
    thread: elsewhere(thread),
    process: elsewhere(separate),
  }
  return (name) => table[name]
}

/** A placement whose code is loaded with its first launch. */
function late(load: () => Promise<Placement>): Placement {
  const placement = lazyModule(load)
  return {
    launch: (request) =>
      placement.loaded?.launch(request) ?? launchLate(request, async () => placement.load()),
  }
}

/** A placeholder for an instance until the code of its placement is loaded. */
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
      return inner?.release() ?? NOTHING_LEFT
    },
  }
}
