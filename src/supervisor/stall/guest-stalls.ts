// Stalls of workers in a thread or process of their own: told, and with onStall: 'eject' ended with the verdict `stalled`.

import type { Clock } from '../../base/clock.ts'
import { formatDurationMs } from '../../base/durations.ts'
import type { ResolvedWorker } from '../../config/types.ts'
import type { Logger } from '../../log/logger.ts'
import type { Exit } from '../placement/placement.ts'
import { watchGuest } from './guest-heart.ts'
import type { GuestHeart } from './guest-heart.ts'
import { LineBudget } from './line-budget.ts'

export interface GuestStallOptions {
  readonly clock: Clock
  readonly spec: ResolvedWorker
  readonly kind: 'thread' | 'process'
  readonly pid: number
  readonly tid: number
  readonly log: Logger
  readonly ask: (number: number) => void
  /** From its next run on it lives in a process of its own. */
  readonly eject: (why: string) => void
  readonly charge: (exit: Exit) => void
}

/** One for all workers and their runs. */
const budget = new LineBudget()
const NO_STACK = 'its stack cannot be taken from outside without opening a debugger to the machine'

export function watchGuestStalls(options: GuestStallOptions): GuestHeart {
  const { clock, spec, kind, pid, tid, log, ask } = options
  let told = false
  return watchGuest({
    clock,
    pid,
    tid,
    ask,
    afterMs: spec.stall.afterMs,
    onStall(blockedMs) {
      const left = budget.take(spec.name, kind, clock.monotonic())
      told = left !== undefined
      const text = `held the loop of its ${kind} for ${formatDurationMs(blockedMs)}`
      const evidence = { blockedMs, placement: kind, unavailable: { function: NO_STACK } }
      if (told) {
        const leftOut = left === 0 ? {} : { leftOut: left }
        log.error({ event: 'stall', ...evidence, ...leftOut }, `${text}; nobody else waits for it`)
      }
      if (spec.onStall !== 'eject') return
      options.eject(text)
      options.charge({ verdict: 'stalled', text, evidence })
    },
    onOver(blockedMs) {
      if (told)
        log.warn(
          { event: 'stall-over', placement: kind, blockedMs },
          `its loop goes on after ${formatDurationMs(blockedMs)}`,
        )
    },
  })
}
