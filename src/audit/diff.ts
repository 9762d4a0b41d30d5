// Compares two results of the same entry: packages added, removed, grown and shrunk.

import type { AuditResult } from './result.ts'

export interface FloorDiff {
  readonly calibratedBytes: { readonly before: number; readonly after: number }
  readonly packages: readonly {
    readonly name: string
    readonly change: 'added' | 'removed' | 'grown' | 'shrunk'
    readonly selfBytesBefore: number
    readonly selfBytesAfter: number
  }[]
  readonly modulesAdded: number
  readonly modulesRemoved: number
}

/** The tolerance of the gate. A check samples less often than an audit, so it may divide smaller amounts
 *  differently. */
const NOISE_BYTES = 64 * 1024

/** Packages by the size of their change, the largest first; changes below 64 KiB are omitted. */
export function diffResults(before: AuditResult, after: AuditResult): FloorDiff {
  const [was, is] = [before, after].map((r) => new Map(r.packages.map((p) => [p.name, p.selfBytes]))) as [
    Map<string, number>,
    Map<string, number>,
  ]
  const packages = [...new Set([...was.keys(), ...is.keys()])]
    .map((name) => {
      const [selfBytesBefore, selfBytesAfter] = [was.get(name) ?? 0, is.get(name) ?? 0]
      const change = !was.has(name)
        ? ('added' as const)
        : !is.has(name)
          ? ('removed' as const)
          : selfBytesAfter > selfBytesBefore
            ? ('grown' as const)
            : ('shrunk' as const)
      return { name, change, selfBytesBefore, selfBytesAfter }
    })
    .filter((p) => Math.abs(p.selfBytesAfter - p.selfBytesBefore) >= NOISE_BYTES)
    .toSorted((a, b) => delta(b) - delta(a))
  const labels = [before, after].map((r) => new Set(r.modules.map((m) => m.label))) as [
    Set<string>,
    Set<string>,
  ]
  return {
    calibratedBytes: {
      before: before.floor.calibratedBytes.medianBytes,
      after: after.floor.calibratedBytes.medianBytes,
    },
    packages,
    modulesAdded: [...labels[1]].filter((l) => !labels[0].has(l)).length,
    modulesRemoved: [...labels[0]].filter((l) => !labels[1].has(l)).length,
  }
}

function delta(p: { readonly selfBytesBefore: number; readonly selfBytesAfter: number }): number {
  return Math.abs(p.selfBytesAfter - p.selfBytesBefore)
}
