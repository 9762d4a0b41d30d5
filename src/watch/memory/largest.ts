// The last step: who has grown most is named with what shows it, and moved out where its config asks for that. In the
// shared loop nobody has memory of its own: there V8's sampling profiler says who keeps what is allocated now.

import { formatMegabytes } from '../../base/bytes.ts'
import { formatDurationMs } from '../../base/durations.ts'
import type { Clock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import type { Scheduler } from '../../base/scheduler.ts'
import type { HostBus } from '../../bus/bus.ts'
import type { ResolvedHerd } from '../../config/types.ts'
import type { Logger } from '../../log/logger.ts'
import { readSmapsRollup } from '../../procfs/smaps-rollup.ts'
import { holdMessages } from '../../herd/message-hold.ts'
import type { Assignments } from '../../herd/assignments.ts'
import type { WorkerSet } from '../../herd/worker-set.ts'
import { collectAll } from '../collect-garbage.ts'
import type { ProfileReport, ProfileSource } from '../../herd/status.ts'
import { blame } from './blame.ts'
import type { Grown } from './growth.ts'
import type { GroupLimits } from './limits.ts'

export interface MemoryWatchDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly bus: HostBus
  readonly workers: Pick<WorkerSet, 'runners' | 'get'>
  readonly assignments: Assignments
  readonly scheduler: Scheduler
  /** As of the last reload. */
  readonly herd: () => ResolvedHerd
  /** What a heap profile of the shared loop needs. */
  readonly profileSource: () => ProfileSource
}

/** A process of its own costs about as much: moved out for less, the group would use more than before. */
export const EJECT_MIN_BYTES = 16_777_216

/** The watch that asks. */
export interface Asker {
  /** It is gone: nobody is moved any more. */
  closed(): boolean
  /** A line within the budget of its event and worker ('' for none). */
  warn(event: string, worker: string, facts: object, text: string): void
}

/** Who lives in the loop is told apart by what it allocates in this time and keeps. */
const WINDOW_MS = 5000

export async function reportLargest(
  grown: Grown | undefined,
  { highBytes }: GroupLimits,
  deps: MemoryWatchDeps,
  asker: Asker,
): Promise<void> {
  if (grown === undefined) {
    const text = `nobody has grown, and the group uses more than ${formatMegabytes(highBytes)}: memoryHigh is too low for it`
    asker.warn('memory-largest', '', { highBytes }, text)
    return
  }
  const { key, ...figures } = grown
  const [name = ''] = key.split(' ')
  const by = `grew by ${formatMegabytes(grown.growthBytes)} in ${formatDurationMs(grown.overMs)}, more than anybody else`
  if (name !== '') {
    const placement = placementOf(name, deps)
    // A thread's figure is V8's, a process's the kernel's.
    const source = placement === 'thread' ? 'v8-heap' : 'anon'
    asker.warn('memory-largest', name, { placement, source, ...figures }, `worker ${name} ${by}`)
    if (placement === 'thread') eject(name, by, figures.growthBytes, deps, asker)
    return
  }
  await blameInLoop(figures, by, deps, asker)
}

async function blameInLoop(
  figures: Omit<Grown, 'key'>,
  by: string,
  deps: MemoryWatchDeps,
  asker: Asker,
): Promise<void> {
  try {
    const { report, grewBytes } = await sampleGrowth(deps)
    const shares = report.workers.slice(0, 3).map(({ worker, self }) => ({ worker, keptBytes: self }))
    const { windowMs, total: keptBytes, file } = report
    const facts = { ...figures, windowMs, keptBytes, grewBytes, shares, file }
    const found = blame({ totalBytes: keptBytes, workers: report.workers, grewBytes })
    if (found.kind !== 'worker') {
      asker.warn('memory-largest', '', facts, `the shared loop ${by}; ${WHY_NOBODY[found.kind]}`)
      return
    }
    const { worker } = found
    const text = `worker ${worker} kept ${formatMegabytes(found.keptBytes)} of the ${formatMegabytes(keptBytes)} allocated in ${formatDurationMs(windowMs)}, and the shared loop ${by}`
    asker.warn('memory-largest', worker, { placement: 'shared', ...facts }, text)
    eject(worker, 'it kept most of what the shared loop grew by', figures.growthBytes, deps, asker)
  } catch (error) {
    const facts = { ...figures, unavailable: describeThrown(error) }
    asker.warn('memory-largest', '', facts, `the shared loop ${by}; who is not known`)
  }
}

const WHY_NOBODY = {
  nobody: 'no one worker of it stands out',
  outside: 'most of it is outside its V8 heap (Buffers, native code, threads), where nobody is known',
} as const

/** What the loop keeps by V8, and what the process grew by in the same time by the kernel. */
async function sampleGrowth(deps: MemoryWatchDeps): Promise<{ report: ProfileReport; grewBytes: number }> {
  const source = deps.profileSource()
  const { takeProfile } = await import('../profile/profile.ts')
  await collectAll()
  const before = readSmapsRollup('self')
  const request = { kind: 'heap', windowMs: WINDOW_MS } as const
  const report = await takeProfile(request, { ...source, label: `${source.label}.memory` })
  await collectAll()
  const after = readSmapsRollup('self')
  const grewBytes = before.ok && after.ok ? after.value.anonBytes - before.value.anonBytes : 0
  return { report, grewBytes }
}

function placementOf(name: string, { workers, assignments }: MemoryWatchDeps): string {
  const runner = workers.get(name)
  return runner === undefined ? 'unknown' : assignments.of(runner.spec)
}

/** As `onLimit: 'eject'` asks. It lives on in a process, whose memory is its own and can be bounded. */
function eject(name: string, why: string, growthBytes: number, deps: MemoryWatchDeps, asker: Asker): void {
  if (growthBytes < EJECT_MIN_BYTES) return
  const { workers, assignments, bus, clock, scheduler } = deps
  const runner = workers.get(name)
  // The later wish wins over a stop under way: it would start again what a shutdown or a reload waits for.
  if (asker.closed() || runner?.live !== true || runner.state.kind === 'stopping') return
  if (!assignments.eject(runner.spec, why)) return
  holdMessages(runner, bus, scheduler)
  runner.stop('move', { kind: 'start', wake: { by: 'manual', at: clock.now() } })
}
