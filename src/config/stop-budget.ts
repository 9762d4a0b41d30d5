// Computes how long a group may take to stop and to start, from its start order and timeouts. The unit of the group and
// the stop timeout that byre requests from the service manager use it. Pure.

import { startOrder } from './order.ts'
import type { ResolvedWorker } from './types.ts'

/** Time after the workers have stopped: to kill a process that ignores SIGTERM, end child processes, dispose resources, and flush
 *  log and bus. */
const TEARDOWN_MS = 10_000

/** The longest time in ms for a graceful stop of `workers`: the longest stopTimeout of each level, plus the teardown. */
export function stopBudgetMs(workers: readonly ResolvedWorker[]): number {
  return sumOfLevels(workers, (worker) => worker.stopTimeoutMs) + TEARDOWN_MS
}

/** The longest time in ms until every eager worker is ready or its start has failed: the longest startTimeout of each
 *  level. */
export function startBudgetMs(workers: readonly ResolvedWorker[]): number {
  return sumOfLevels(workers, ({ activation, startTimeoutMs }) =>
    activation.kind === 'eager' ? startTimeoutMs : 0,
  )
}

function sumOfLevels(workers: readonly ResolvedWorker[], ms: (worker: ResolvedWorker) => number): number {
  const byName = new Map(workers.map((worker) => [worker.name, ms(worker)]))
  return startOrder(workers)
    .map((level) => Math.max(...level.map((name) => byName.get(name)!)))
    .reduce((sum, longest) => sum + longest, 0)
}
