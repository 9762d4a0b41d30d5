// How far the PSS of a tree may be off because it is read one process after the other. A page that n processes map counts
// 1/n in each. Who comes meanwhile lowers what the others still count by as much as it then holds of their pages itself,
// who goes raises it by as much as it held: together never more than the shared part of the PSS of those who came or went.

import type { ProcessIdentity } from './process-tree.ts'

/** Up to this share of the sum a reading counts as one moment. */
export const TORN_RATIO = 0.02

export interface SharedPart extends ProcessIdentity {
  /** PSS less USS. */
  readonly sharedBytes: number
}

/** The most by which the sum over `before` is off when `after` are the members at its end. `sharedOf` reads somebody who
 *  came; one that went unread counts as the largest of those that were read. What came and went in between is not seen. */
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
