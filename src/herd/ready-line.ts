// The log line that reports the herd ready, and the workers that are not.

import type { Logger } from '../log/logger.ts'
import type { WorkerSet } from './worker-set.ts'

export function logReady(
  log: Logger,
  workers: Pick<WorkerSet, 'runners' | 'size'>,
  times: Readonly<Record<string, number>>,
): void {
  const eager = [...workers.runners()].filter((runner) => !runner.lazy)
  const notReady = eager
    .filter((runner) => runner.state.kind !== 'running' && runner.record.lastExit?.verdict !== 'done')
    .map((runner) => runner.name)
  log.info(
    { event: 'ready', ...times, workers: workers.size, eager: eager.length, notReady },
    notReady.length === 0 ? 'herd is ready' : `herd is up; not ready: ${notReady.join(', ')}`,
  )
}
