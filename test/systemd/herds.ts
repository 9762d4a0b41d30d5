// Herds for the unit tests, resolved as the loader does it but without files.
import { DEFAULTS } from '../../src/config/defaults.ts'
import type { NeedsConfig, ResolvedHerd, ResolvedWorker } from '../../src/config/types.ts'

export function worker(name: string, needs: NeedsConfig, more: Partial<ResolvedWorker> = {}): ResolvedWorker {
  return {
    name,
    group: 'batch',
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
    stall: { detect: true, afterMs: 1000 },
    startTimeoutMs: 30_000,
    stopTimeoutMs: 5000,
    ready: DEFAULTS.worker.ready,
    weight: 1,
    critical: false,
    after: [],
    requires: [],
    needs,
    ...more,
  }
}

export function herd(workers: readonly ResolvedWorker[], more: Partial<ResolvedHerd> = {}): ResolvedHerd {
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
