// Bounds the error of the PSS of a tree, whose processes are read one after the other. A page that n processes map counts 1/n
// in each. A process that starts meanwhile lowers the PSS of the others by its share of their pages, one that ends raises it
// by the share it had. The total error is at most the shared part of the PSS of the processes that started or ended.

import type { ProcessIdentity } from '../procfs/stat.ts'

/** A reading with an error of at most this share of its sum represents one moment. */
export const TORN_RATIO = 0.02

export interface SharedPart extends ProcessIdentity {
  /** PSS minus USS. */
  readonly sharedBytes: number
}

/** Upper bound of the error of the sum over `before` when the members are `after` at the end of the reading. `sharedOf` reads a
 *  process that started; a process that ended unread counts as the largest of those read. Processes that started and ended
 *  in between are not detected. */
export function uncertainBytes(
  before: readonly ProcessIdentity[],
  after: readonly ProcessIdentity[],
  read: readonly SharedPart[],
  sharedOf: (pid: number) => number | undefined,
): number {
  const [then, now] = [new Set(before.map(identity)), new Set(after.map(identity))]
  const shared = new Map(read.map((one) => [identity(one), one.sharedBytes]))
  const largest = Math.max(0, ...shared.values())
  let bytes = 0
  for (const one of before) if (!now.has(identity(one))) bytes += shared.get(identity(one)) ?? largest
  for (const one of after) if (!then.has(identity(one))) bytes += sharedOf(one.pid) ?? largest
  return bytes
}

function identity({ pid, startTicks }: ProcessIdentity): string {
  return `${pid}:${startTicks}`
}
