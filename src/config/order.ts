// Computes the start order of workers from `after` and `requires`. They stop in the reverse order.

import { ByreError } from '../base/errors.ts'

export interface Ordered {
  readonly name: string
  readonly after: readonly string[]
  readonly requires: readonly string[]
}

/** Returns the names of `workers` in levels. Each worker waits only for workers of earlier levels and is in the first
 *  possible level. Each level keeps the order of `workers`. References to workers that are not in `workers` (of another
 *  group) are ignored. Throws BYRE_CONFIG_INVALID on a cycle, which a resolved herd never has. */
export function startOrder(workers: readonly Ordered[]): string[][] {
  const waiting = new Map(workers.map((worker) => [worker.name, 0]))
  const dependents = new Map<string, string[]>(workers.map((worker) => [worker.name, []]))
  for (const worker of workers) {
    const needed = new Set([...worker.after, ...worker.requires].filter((name) => waiting.has(name)))
    waiting.set(worker.name, needed.size)
    for (const name of needed) dependents.get(name)!.push(worker.name)
  }
  const position = new Map(workers.map((worker, index) => [worker.name, index]))
  const levels: string[][] = []
  let level = workers.filter((worker) => waiting.get(worker.name) === 0).map((worker) => worker.name)
  let placed = 0
  while (level.length > 0) {
    levels.push(level)
    placed += level.length
    const next: string[] = []
    for (const done of level) {
      for (const name of dependents.get(done)!) {
        const left = waiting.get(name)! - 1
        waiting.set(name, left)
        if (left === 0) next.push(name)
      }
    }
    level = next.toSorted((a, b) => position.get(a)! - position.get(b)!)
  }
  if (placed === workers.length) return levels
  const stuck = workers.filter((worker) => waiting.get(worker.name)! > 0).map((worker) => worker.name)
  throw new ByreError(
    'BYRE_CONFIG_INVALID',
    `Cannot order the workers: after and requires form a cycle among ${stuck.slice(0, 10).join(', ')}. Remove one of its links`,
  )
}
