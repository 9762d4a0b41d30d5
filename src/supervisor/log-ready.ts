// The line that says that the herd is up, and without whom.

import type { Logger } from '../log/logger.ts'
import type { StartPhases } from './options.ts'
import type { Roster } from './roster.ts'

export function logReady(
  log: Logger,
  roster: Pick<Roster, 'runners' | 'size'>,
  times: StartPhases & { readonly readyMs: number },
): void {
  const eager = [...roster.runners()].filter((runner) => !runner.lazy)
  const notReady = eager
    .filter((runner) => runner.state.kind !== 'running' && runner.record.lastExit?.verdict !== 'done')
    .map((runner) => runner.name)
  log.info(
    { event: 'ready', ...times, workers: roster.size, eager: eager.length, notReady },
    notReady.length === 0 ? 'herd is ready' : `herd is up, without ${notReady.join(', ')}`,
  )
}
