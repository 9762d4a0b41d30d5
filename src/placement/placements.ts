// From the `placement` of a worker to the code that does it. Threads and processes are loaded with the first worker that
// lives in one: most herds have none, and node:worker_threads and node:child_process are not free.

import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import type { Placement as PlacementName } from '../config/types.ts'
import type { Instance, LaunchRequest, Placement } from '../herd/placement.ts'
import type { SamplerSettings } from '../watch/sampler/sampler.ts'
import type { ChildHost } from './child-handle.ts'

export type PlacementOf = (name: PlacementName) => Placement

/** `host`: what threads and processes use of the supervisor. */
export function createPlacements(
  shared: Placement,
  host: Omit<ChildHost, 'sampler'>,
  samplerSettings: SamplerSettings,
): PlacementOf {
  const children = lazyModule(async (): Promise<ChildHost> => {
    const { createSampler } = await import('../watch/sampler/sampler.ts')
    return { ...host, sampler: createSampler({ ...samplerSettings, clock: host.clock, log: host.log }) }
  })
  const thread = late(async () => (await import('./thread.ts')).createThreadPlacement(await children.load()))
  const separate = late(async () =>
    (await import('./process.ts')).createProcessPlacement(await children.load()),
  )
  const table: Readonly<Record<PlacementName, Placement>> = { shared, thread, process: separate }
  return (name) => table[name]
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
