// A worker of group `batch` with its needs, for the unit tests.
import type { NeedsConfig, ResolvedWorker } from '../../src/config/types.ts'
import { resolvedWorker } from '../helpers/resolved.ts'

export function worker(name: string, needs: NeedsConfig, more: Partial<ResolvedWorker> = {}): ResolvedWorker {
  return resolvedWorker(name, { group: 'batch', needs, ...more })
}
