// The last relief step: reports what has grown most, with evidence, and moves it out of the shared process if its config says
// so. Workers in the shared loop have no memory of their own to measure: there V8's sampling profiler shows which of them
// keeps what is allocated.

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
import { blame } from './growth.ts'
import type { Grown } from './growth.ts'
import type { GroupLimits } from './usage.ts'

export interface MemoryWatchDeps {
  readonly clock: Clock
  readonly log: Logger
  readonly bus: HostBus
  readonly workers: Pick<WorkerSet, 'runners' | 'get'>
  readonly assignments: Assignments
  readonly scheduler: Scheduler
  /** The herd as of the last reload. */
  readonly herd: () => ResolvedHerd
  /** The input of a heap profile of the shared loop. */
  readonly profileSource: () => ProfileSource
}

/** A separate process costs about this much: for less growth the group would use more after the move than before. */
export const EJECT_MIN_BYTES = 16_777_216

/** The watch on whose behalf the report is made. */
export interface Reporter {
  /** Whether the watch is closed, so that no worker may be moved. */
  closed(): boolean
  /** Logs a warning within the line budget of `event` and `worker` ('' for no worker). */
  warn(event: string, worker: string, facts: object, text: string): void
}

/** Length of the heap profile of the shared loop. */
const WINDOW_MS = 5000

export async function reportLargest(
  grown: Grown | undefined,
  { highBytes }: GroupLimits,
  deps: MemoryWatchDeps,
  reporter: Reporter,
): Promise<void> {
  if (grown === undefined) {
    const text = `no worker has grown, yet the group uses more than ${formatMegabytes(highBytes)}: memoryHigh is too low for it`
    reporter.warn('memory-largest', '', { highBytes }, text)
    return
  }
  const { key, ...figures } = grown
  const [name = ''] = key.split(' ')
  const by = `grew by ${formatMegabytes(grown.growthBytes)} in ${formatDurationMs(grown.overMs)}, more than any other`
  if (name !== '') {
    const placement = placementOf(name, deps)
    // The size of a thread is reported by V8, that of a process by the kernel.
    const source = placement === 'thread' ? 'v8-heap' : 'anon'
    reporter.warn('memory-largest', name, { placement, source, ...figures }, `worker ${name} ${by}`)
    if (placement === 'thread') eject(name, by, figures.growthBytes, deps, reporter)
    return
  }
  await blameInLoop(figures, by, deps, reporter)
}

async function blameInLoop(
  figures: Omit<Grown, 'key'>,
  by: string,
  deps: MemoryWatchDeps,
  reporter: Reporter,
): Promise<void> {
  try {
    const { report, grewBytes } = await sampleGrowth(deps)
    const shares = report.workers.slice(0, 3).map(({ worker, self }) => ({ worker, keptBytes: self }))
    const { windowMs, total: keptBytes, file } = report
    const facts = { ...figures, windowMs, keptBytes, grewBytes, shares, file }
    const found = blame({ totalBytes: keptBytes, workers: report.workers, grewBytes })
    if (found.kind !== 'worker') {
      reporter.warn('memory-largest', '', facts, `the shared loop ${by}; ${WHY_UNKNOWN[found.kind]}`)
      return
    }
    const { worker } = found
    const text = `worker ${worker} kept ${formatMegabytes(found.keptBytes)} of the ${formatMegabytes(keptBytes)} allocated in ${formatDurationMs(windowMs)}, and the shared loop ${by}`
    reporter.warn('memory-largest', worker, { placement: 'shared', ...facts }, text)
    eject(worker, 'it kept most of what the shared loop grew by', figures.growthBytes, deps, reporter)
  } catch (error) {
    const facts = { ...figures, unavailable: describeThrown(error) }
    reporter.warn('memory-largest', '', facts, `the shared loop ${by}; the worker is not known`)
  }
}

const WHY_UNKNOWN = {
  none: 'none of its workers stands out',
  outside:
    'most of it is outside its V8 heap (Buffers, native code, threads) and cannot be charged to a worker',
} as const

/** The memory that the loop keeps as reported by V8, and the growth of the process over the same time as reported by the kernel. */
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

/** With `onLimit: 'eject'`, moves the worker into a process, whose memory can be measured and limited. */
function eject(
  name: string,
  why: string,
  growthBytes: number,
  deps: MemoryWatchDeps,
  reporter: Reporter,
): void {
  if (growthBytes < EJECT_MIN_BYTES) return
  const { workers, assignments, bus, clock, scheduler } = deps
  const runner = workers.get(name)
  // A restart would override a stop in progress, and would restart a worker whose end a shutdown or a reload awaits.
  if (reporter.closed() || runner?.live !== true || runner.state.kind === 'stopping') return
  if (!assignments.eject(runner.spec, why)) return
  holdMessages(runner, bus, scheduler)
  runner.stop('move', { kind: 'start', wake: { by: 'manual', at: clock.now() } })
}
