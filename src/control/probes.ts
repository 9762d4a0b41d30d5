// /healthz and /readyz: may this process live, and is what it hosts there for its users? A loop that is held answers
// neither, which is the answer. Loaded with the first probe.

import type { SupervisorStatus } from '../herd/status.ts'

export interface ProbeAnswer {
  readonly ok: boolean
  /** One line each, for the person who asks by hand. */
  readonly lines: readonly string[]
}

/** It answers: that is all liveness asks. */
export function health(): ProbeAnswer {
  return { ok: true, lines: ['ok'] }
}

/** Up, not draining, and every `critical` worker running or asleep. */
export function readiness({ phase, workers }: SupervisorStatus): ProbeAnswer {
  const lost = workers.filter(
    ({ critical, state }) => critical === true && state !== 'running' && state !== 'dormant',
  )
  const reasons = [
    ...(phase === 'up' ? [] : [`the herd is ${phase ?? 'of another version'}`]),
    ...lost.map(({ name, state }) => `critical worker ${name} is ${state}`),
  ]
  return reasons.length === 0 ? { ok: true, lines: ['ready'] } : { ok: false, lines: reasons }
}
