// How long a group may take to stop and to start, from its order and time-outs: for the unit of the group, and for what
// byre asks of the service manager while it drains. Pure.

import { startOrder } from './order.ts'
import type { ResolvedWorker } from './types.ts'

/** Beyond the workers: a process that ignores SIGTERM is killed, resources are disposed, log and bus are flushed. */
const TAKE_DOWN_MS = 10_000

/** Most ms a graceful stop of `workers` takes: each level of the start order its longest stopTimeout, and the tear-down. */
export function stopBudgetMs(workers: readonly ResolvedWorker[]): number {
  return sumOfLevels(workers, (worker) => worker.stopTimeoutMs) + TAKE_DOWN_MS
}

/** Most ms until every eager one of `workers` is ready or given up for now: each level its longest startTimeout. */
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
