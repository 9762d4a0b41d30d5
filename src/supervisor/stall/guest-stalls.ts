// Stalls of workers in a thread or process of their own: told with their stack, and with onStall: 'eject' ended with the
// verdict `stalled`. Nobody but the worker waits in its loop, so its name needs no stack.

import type { Clock } from '../../base/clock.ts'
import { formatDurationMs } from '../../base/durations.ts'
import { describeThrown } from '../../base/errors.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { Logger } from '../../log/logger.ts'
import type { Exit } from '../placement/placement.ts'
import type { ProfileFolder } from '../profile/files.ts'
import { watchGuest } from './guest-heart.ts'
import type { GuestHeart, Held } from './guest-heart.ts'
import type { StallLog } from './investigate.ts'
import { LineBudget } from './line-budget.ts'
import type { Connect } from './pause.ts'
import type { Stall } from './protocol.ts'

export interface GuestStallOptions {
  readonly clock: Clock
  readonly spec: ResolvedWorker
  readonly kind: 'thread' | 'process'
  readonly pid: number
  readonly tid: number
  readonly log: Logger
  readonly ownRoot: string
  readonly profiles: ProfileFolder
  readonly ask: (number: number) => void
  /** To the inspector of its loop; undefined where there is no safe way. */
  readonly inspect: Connect | undefined
  /** A stall is over. */
  readonly onStalled: (stall: Stall) => void
  /** From its next run on it lives in a process of its own. */
  readonly eject: (why: string) => void
  readonly charge: (exit: Exit) => void
}

/** The thread is reached over the supervisor's own loop, which has other work as well. */
const REACH_MS = 500
/** Nobody else waits for it: rather late than wrong. What its inspector says crosses the supervisor's loop. */
const NATIVE_AFTER_MS = 1000

const NO_STACK = 'opening the inspector of a process whose loop is held can crash it'
const refuse: Connect = async () => {
  throw new Error(NO_STACK)
}

/** One for all workers and their runs. */
const budget = new LineBudget()

export function watchGuestStalls(options: GuestStallOptions): GuestHeart {
  const { clock, spec, kind, pid, tid, log, ask } = options
  return watchGuest({
    clock,
    pid,
    tid,
    ask,
    afterMs: spec.stall.afterMs,
    onStall(held) {
      tell(options, held).catch((error: unknown) =>
        log.error(
          { event: 'stall-watch-failed', ...describeThrown(error) },
          `a stall of its ${kind} could not be told`,
        ),
      )
    },
  })
}

async function tell(options: GuestStallOptions, held: Held): Promise<void> {
  const { spec, kind, pid, tid, log, ownRoot, inspect } = options
  // It is ended by its policy, not with the supervisor's process.
  const worker = { ...spec.stall, name: spec.name, index: 0, source: spec.source, eject: false }
  const culprit = { worker: spec.name, by: 'placement' as const }
  const [{ investigate, whereabouts }, { pauseLoop }] = await Promise.all([
    import('./investigate.ts'),
    import('./pause.ts'),
  ])
  let charged = false
  const stall = await investigate({
    pause: (request) => pauseLoop(inspect ?? refuse, request),
    reachMs: REACH_MS,
    nativeAfterMs: NATIVE_AFTER_MS,
    thread: { pid, tid },
    ownRoot,
    nameOf: () => culprit,
    workerOf: () => worker,
    guess: () => culprit,
    over: () => held.over(),
    gone: () => held.gone(),
    blockedMs: () => held.blockedMs(),
    budget,
    log: inItsName(log, kind),
    loop: `the loop of its ${kind}`,
    note(found) {
      if (charged || spec.onStall !== 'eject') return
      charged = true
      const { worker: __, ...seen } = found
      const text = `held the loop of its ${kind} for ${formatDurationMs(found.blockedMs)}${whereabouts(found)}`
      options.eject(text)
      options.charge({ verdict: 'stalled', text, evidence: { ...seen, placement: kind } })
    },
    dropNote: () => {},
    keep: await keeper(options),
  })
  if (stall !== undefined) options.onStalled(stall)
}

async function keeper({
  spec,
  profiles,
  clock,
}: GuestStallOptions): Promise<((text: string) => string) | undefined> {
  if (!spec.stall.profile) return undefined
  const { keepProfile } = await import('../profile/files.ts')
  return (text) => keepProfile(profiles, 'cpu', text, clock.now())
}

/** Its logger names the worker on each line already. */
function inItsName(log: Logger, placement: string): StallLog {
  const strip = (fields: object): object => ({ ...fields, worker: undefined, placement })
  return {
    warn: (fields, message) => log.warn(strip(fields), message),
    error: (fields, message) => log.error(strip(fields), message),
  }
}
