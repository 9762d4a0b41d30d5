// The rules one worker is supervised by, as the pure transition wants them.

import type { Clock, Random } from '../base/clock.ts'
import type { ResolvedWorker } from '../config/types.ts'
import type { Residence } from './residence.ts'
import type { TransitionContext } from './state.ts'

interface RuleDeps {
  readonly clock: Clock
  readonly random: Random
  readonly residence: Residence
}

export function rulesOf(spec: ResolvedWorker, { clock, random, residence }: RuleDeps): TransitionContext {
  const { restart, backoff, limit, onLimit, critical, activation } = spec
  return {
    restart,
    backoff,
    limit,
    onLimit,
    critical,
    ejectable: residence.of(spec) !== 'process',
    lazy: activation.kind === 'lazy',
    now: clock.monotonic(),
    random,
  }
}
