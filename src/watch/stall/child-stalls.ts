// Stalls of workers in a thread or process of their own: told without a stack, and with onStall: 'eject' ended with the
// verdict `stalled`. Nobody but the worker waits in its loop, so its name needs none.

import type { Clock } from '../../base/clock.ts'
import { formatDurationMs } from '../../base/durations.ts'
import { describeThrown } from '../../base/errors.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { Logger } from '../../log/logger.ts'
import type { Exit } from '../../herd/placement.ts'
import { openHeartbeat } from './heartbeat.ts'
import type { Heartbeat, Held } from './heartbeat.ts'
import type { StallLog } from './investigate.ts'
import { LineBudget } from './line-budget.ts'
import type { Stall } from './protocol.ts'

export interface ChildStallOptions {
  readonly clock: Clock
  readonly spec: ResolvedWorker
  readonly kind: 'thread' | 'process'
  readonly pid: number
  readonly tid: number
  readonly log: Logger
  readonly ask: (number: number) => void
  /** A stall is over. */
  readonly onStalled: (stall: Stall) => void
  /** From its next run on it lives in a process of its own. */
  readonly eject: (why: string) => void
  readonly charge: (exit: Exit) => void
}

/** See docs/decisions.md, Stalls and the inspector. */
const NO_STACK = 'the inspector of a thread or process whose loop is held can crash it'

/** One for all workers and their runs. */
const budget = new LineBudget()

export function watchChildStalls(options: ChildStallOptions): Heartbeat {
  const { clock, spec, kind, pid, tid, log, ask } = options
  return openHeartbeat({
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

async function tell(options: ChildStallOptions, held: Held): Promise<void> {
  const { spec, kind, log } = options
  // It is ended by its policy, not with the supervisor's process.
  const worker = { ...spec.stall, name: spec.name, index: 0, source: spec.source, eject: false }
  const culprit = { worker: spec.name, by: 'placement' as const }
  const { investigate } = await import('./investigate.ts')
  let charged = false
  const stall = await investigate({
    inspector: NO_STACK,
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
      const text = `held the loop of its ${kind} for ${formatDurationMs(found.blockedMs)}`
      options.eject(text)
      options.charge({ verdict: 'stalled', text, evidence: { ...seen, placement: kind } })
    },
    dropNote: () => {},
  })
  if (stall !== undefined) options.onStalled(stall)
}

/** Its logger names the worker on each line already. */
function inItsName(log: Logger, placement: string): StallLog {
  const strip = (fields: object): object => ({ ...fields, worker: undefined, placement })
  return {
    warn: (fields, message) => log.warn(strip(fields), message),
    error: (fields, message) => log.error(strip(fields), message),
  }
}
