// Workers and herds as the loader resolves the smallest config, without files: what byre's defaults are, written out once.
import type { ResolvedHerd, ResolvedWorker } from '../../src/config/types.ts'

export function resolvedWorker(name: string, more: Partial<ResolvedWorker> = {}): ResolvedWorker {
  return {
    name,
    group: 'default',
    source: { kind: 'module', path: `/srv/shop/workers/${name}.js` },
    config: {},
    env: {},
    activation: { kind: 'eager' },
    placement: 'shared',
    restart: 'on-failure',
    backoff: { firstMs: 0, baseMs: 1000, factor: 2, maxMs: 60_000, resetAfterMs: 600_000 },
    limit: { failures: 5, withinMs: 300_000 },
    onLimit: 'quarantine',
    onStall: 'report',
    stall: { detect: true, afterMs: 1000, profile: false },
    startTimeoutMs: 30_000,
    stopTimeoutMs: 5000,
    ready: 'start',
    weight: 1,
    critical: false,
    after: [],
    requires: [],
    needs: {},
    ...more,
  }
}

export function resolvedHerd(
  workers: readonly ResolvedWorker[],
  more: Partial<ResolvedHerd> = {},
): ResolvedHerd {
  return {
    name: 'shop',
    file: '/srv/shop/byre.config.js',
    folder: '/srv/shop',
    bus: { kind: 'embedded' },
    groups: Object.fromEntries(workers.map(({ group }) => [group, {}])),
    workers,
    control: {},
    admission: { queue: 1000 },
    sampler: { enabled: true, intervalMs: 15_000 },
    limits: { messageBytes: 1_048_576, buffer: 1000 },
    onUnattributed: 'drain',
    ...more,
  }
}
