// Computes the difference between two resolved herds, which is what a reload changes. Pure.

import { isRecord } from '../base/check.ts'
import type { Problem } from '../base/errors.ts'
import type { ResolvedHerd, ResolvedWorker } from './types.ts'

/** Top-level keys that a running supervisor cannot change. A reload that changes one is refused. */
const FIXED = ['name', 'bus', 'http'] as const
/** Top-level keys that a reload can change without affecting a worker. */
const SETTINGS = ['groups', 'control', 'admission', 'sampler', 'limits', 'onUnattributed'] as const

export type Setting = (typeof SETTINGS)[number]

export interface HerdDiff {
  /** Changes that need a new process. If there is one, no part of the reload may be applied. */
  readonly refused: readonly Problem[]
  /** Names in the order of `after`. */
  readonly added: readonly string[]
  /** Names in the order of `before`. */
  readonly removed: readonly string[]
  /** Workers with a changed entry and the resolved keys that differ, in the order of `after`. */
  readonly changed: readonly { readonly name: string; readonly keys: readonly (keyof ResolvedWorker)[] }[]
  readonly unchanged: readonly string[]
  /** Top-level settings that differ. */
  readonly settings: readonly Setting[]
}

/** Compares by value. The order of object keys and of workers does not matter. Messages quote no address, since a bus
 *  address may contain a password. */
export function diffHerd(before: ResolvedHerd, after: ResolvedHerd): HerdDiff {
  const refused = FIXED.filter((key) => !sameJson(before[key], after[key])).map((key) => ({
    path: key,
    message: `cannot change while the herd runs${key === 'name' ? ` (from '${before.name}' to '${after.name}')` : ''}. Restart byre to apply the change`,
  }))
  const old = new Map(before.workers.map((worker) => [worker.name, worker]))
  const names = new Set(after.workers.map((worker) => worker.name))
  const added: string[] = []
  const unchanged: string[] = []
  const changed: { name: string; keys: (keyof ResolvedWorker)[] }[] = []
  for (const worker of after.workers) {
    const previous = old.get(worker.name)
    const keys = previous === undefined ? [] : changedKeys(previous, worker)
    if (previous === undefined) added.push(worker.name)
    else if (keys.length === 0) unchanged.push(worker.name)
    else changed.push({ name: worker.name, keys })
  }
  const removed = before.workers.map((worker) => worker.name).filter((name) => !names.has(name))
  const settings = SETTINGS.filter((key) => !sameJson(before[key], after[key]))
  return { refused, added, removed, changed, unchanged, settings }
}

function changedKeys(before: ResolvedWorker, after: ResolvedWorker): (keyof ResolvedWorker)[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)] as (keyof ResolvedWorker)[])
  return [...keys].filter((key) => !sameJson(before[key], after[key])).toSorted()
}

/** Returns true when the values are equal as JSON. Key order is ignored, and an absent key equals undefined. The depth is
 *  bounded by that of the config. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => sameJson(item, b[i]))
  }
  if (!isRecord(a) || !isRecord(b)) return false
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  return [...keys].every((key) => sameJson(own(a, key), own(b, key)))
}

function own(record: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(record, key) ? record[key] : undefined
}
