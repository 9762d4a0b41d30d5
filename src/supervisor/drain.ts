// Stops a set of workers in the reverse of their start order, each level bounded by its workers' stopTimeout.

import type { Runner } from './runner.ts'
import type { StopKind } from '../worker/stop-reason.ts'

/** Stops level after level (last first) and returns the names of those that ignored their signal. */
export async function drain(levels: readonly (readonly Runner[])[], reason: StopKind): Promise<string[]> {
  const unstopped: string[] = []
  for (const level of [...levels].reverse()) {
    for (const runner of level) runner.stop(reason, { kind: 'rest' })
    await Promise.all(level.map(async (runner) => runner.whenDown()))
    unstopped.push(...level.filter((runner) => runner.record.unstopped).map((runner) => runner.name))
  }
  return unstopped
}
