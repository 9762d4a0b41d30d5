// The last step: who has grown most is named with what shows it, and moved out where its config asks for that. In the
// shared loop nobody has memory of its own: there V8's sampling profiler says who keeps what is allocated now.

import { formatMegabytes } from '../../base/bytes.ts'
import { formatDurationMs } from '../../base/durations.ts'
import { describeThrown } from '../../base/errors.ts'
import type { Scheduler } from '../../base/scheduler.ts'
import type { ResolvedHerd } from '../../config/types.ts'
import { holdMessages } from '../hold.ts'
import type { SupervisorOptions } from '../options.ts'
import type { Residence } from '../residence.ts'
import type { Roster } from '../roster.ts'
import type { ProfileSource } from '../status.ts'
import type { Grown } from './growth.ts'
import type { GroupLimits } from './limits.ts'

export interface FattestDeps {
  readonly options: SupervisorOptions
  readonly roster: Pick<Roster, 'runners' | 'get'>
  readonly residence: Residence
  readonly scheduler: Scheduler
  /** As of the last reload. */
  readonly herd: () => ResolvedHerd
  /** What a heap profile of the shared loop needs. */
  readonly profileSource: () => ProfileSource
}

/** The watch that asks. */
export interface Asker {
  /** It is gone: nobody is moved any more. */
  closed(): boolean
  /** A line within the budget of its event and worker ('' for none). */
  warn(event: string, worker: string, facts: object, text: string): void
}

/** Who lives in the loop is told apart by what it allocates in this time and keeps. */
const WINDOW_MS = 5000
/** Below this share of what was kept in the window nobody is blamed for the loop's growth. */
const BLAME_SHARE = 0.5

export async function tellFattest(
  grown: Grown | undefined,
  { highBytes }: GroupLimits,
  deps: FattestDeps,
  asker: Asker,
): Promise<void> {
  if (grown === undefined) {
    const text = `nobody has grown, and the group uses more than ${formatMegabytes(highBytes)}: memoryHigh is too low for it`
    asker.warn('memory-fattest', '', { highBytes }, text)
    return
  }
  const { key, ...figures } = grown
  const [name = ''] = key.split(' ')
  const by = `grew by ${formatMegabytes(grown.growthBytes)} in ${formatDurationMs(grown.overMs)}, more than anybody else`
  if (name !== '') {
    const placement = placementOf(name, deps)
    // A thread's figure is V8's, a process's the kernel's.
    const source = placement === 'thread' ? 'v8-heap' : 'anon'
    asker.warn('memory-fattest', name, { placement, source, ...figures }, `worker ${name} ${by}`)
    if (placement === 'thread') eject(name, by, deps, asker)
    return
  }
  await blameInLoop(figures, by, deps, asker)
}

async function blameInLoop(
  figures: Omit<Grown, 'key'>,
  by: string,
  deps: FattestDeps,
  asker: Asker,
): Promise<void> {
  try {
    const source = deps.profileSource()
    const { takeProfile } = await import('../profile/profile.ts')
    const report = await takeProfile(
      { kind: 'heap', windowMs: WINDOW_MS },
      { ...source, label: `${source.label}.memory` },
    )
    const [first] = report.workers
    const shares = report.workers.slice(0, 3).map(({ worker, self }) => ({ worker, keptBytes: self }))
    const kept = { windowMs: report.windowMs, keptBytes: report.total, shares, file: report.file }
    if (first === undefined || first.self < report.total * BLAME_SHARE) {
      const text = `the shared loop ${by}; no one worker of it stands out`
      asker.warn('memory-fattest', '', { ...figures, ...kept }, text)
      return
    }
    const text = `worker ${first.worker} kept ${formatMegabytes(first.self)} of the ${formatMegabytes(report.total)} allocated in ${formatDurationMs(report.windowMs)}, and the shared loop ${by}`
    asker.warn('memory-fattest', first.worker, { placement: 'shared', ...figures, ...kept }, text)
    eject(first.worker, `it kept most of what the shared loop grew by`, deps, asker)
  } catch (error) {
    const facts = { ...figures, unavailable: describeThrown(error) }
    asker.warn('memory-fattest', '', facts, `the shared loop ${by}; who is not known`)
  }
}

function placementOf(name: string, { roster, residence }: FattestDeps): string {
  const runner = roster.get(name)
  return runner === undefined ? 'unknown' : residence.of(runner.spec)
}

/** As `onLimit: 'eject'` asks. It lives on in a process, whose memory is its own and can be bounded. */
function eject(name: string, why: string, deps: FattestDeps, asker: Asker): void {
  const { roster, residence, options, scheduler } = deps
  const runner = roster.get(name)
  // The later wish wins over a stop under way: it would start again what a shutdown or a reload waits for.
  if (asker.closed() || runner?.live !== true || runner.state.kind === 'stopping') return
  if (!residence.eject(runner.spec, why)) return
  holdMessages(runner, options.bus, scheduler)
  runner.stop('move', { kind: 'start', wake: { by: 'manual', at: options.clock.now() } })
}
