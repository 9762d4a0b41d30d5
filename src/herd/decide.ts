// The restart rules of one worker, from its config, in the form that the pure transition takes.

import type { Clock, Random } from '../base/clock.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Leasing } from './leasing.ts'
import type { Assignments } from './assignments.ts'
import { transition } from './state.ts'
import type { Step, Supervised, TransitionContext, WorkerEvent } from './state.ts'
import type { LeaseEvent } from './lease-state.ts'

interface RuleDeps {
  readonly clock: Clock
  readonly random: Random
  readonly assignments: Assignments
  readonly leasing: Leasing | undefined
}

/** The step that `event` causes; a worker with a lease has more states. */
export function decide(current: Supervised, event: LeaseEvent, spec: ResolvedWorker, deps: RuleDeps): Step {
  const rules = rulesOf(spec, deps)
  const { leasing } = deps
  if (spec.lease !== undefined && leasing !== undefined) return leasing.transition(current, event, rules)
  return transition(current, event as WorkerEvent, rules)
}

function rulesOf(spec: ResolvedWorker, { clock, random, assignments }: RuleDeps): TransitionContext {
  const { restart, backoff, limit, onLimit, critical, activation } = spec
  return {
    restart,
    backoff,
    limit,
    onLimit,
    critical,
    ejectable: assignments.of(spec) !== 'process',
    lazy: activation.kind === 'lazy',
    now: clock.monotonic(),
    random,
  }
}
