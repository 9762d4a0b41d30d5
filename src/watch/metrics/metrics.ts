// GET /metrics: the status as Prometheus text. Loaded with the first scrape, together with prom-client. Each scrape fills a new
// registry from one status, so that no series of a removed worker, state or sample remains.

import { Counter, Gauge, Registry } from 'prom-client'
import type { SupervisorStatus, WorkerStatus } from '../../herd/status.ts'
import { PROCESS_METRICS } from './process-metrics.ts'
import type { Metric } from './process-metrics.ts'
import { WORKER_METRICS } from './worker-metrics.ts'

/** The data of a scrape in addition to the status. */
export interface ScrapeContext {
  /** Requests that the scraped socket or listener refused, by kind. */
  readonly refused: Readonly<Partial<Record<string, number>>>
}

export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE

/** The text of one scrape. Every series has the labels `herd` and `group`. */
export async function renderMetrics(status: SupervisorStatus, context: ScrapeContext): Promise<string> {
  const registry = new Registry()
  registry.setDefaultLabels({ herd: status.herd, group: status.group })
  for (const metric of PROCESS_METRICS) fill(registry, metric, [[{}, metric.read(status)]])
  for (const metric of WORKER_METRICS)
    fill(
      registry,
      metric,
      status.workers.map((worker: WorkerStatus) => [{ worker: worker.name }, metric.read(worker)]),
    )
  const refused = Object.entries(context.refused).map(([kind, value = 0]) => ({ labels: { kind }, value }))
  fill(registry, REFUSED, [[{}, refused]])
  return registry.metrics()
}

const REFUSED: Metric<never> = {
  name: 'byre_control_refused_total',
  help: 'Requests that were refused, by kind.',
  type: 'counter',
  labels: ['kind'],
  read: () => undefined,
}

/** A metric without a value has no series; a metric without a series is omitted. */
function fill<S>(
  registry: Registry,
  { name, help, type, labels = [] }: Metric<S>,
  values: readonly (readonly [Readonly<Record<string, string>>, ReturnType<Metric<S>['read']>])[],
): void {
  const series = values.flatMap(([own, value]) => {
    if (value === undefined) return []
    const list = typeof value === 'number' ? [{ value }] : value
    return list.map((one) => ({
      value: one.value,
      labels: { ...own, ...('labels' in one ? one.labels : {}) },
    }))
  })
  const [first] = series
  if (first === undefined) return
  const options = {
    name,
    help,
    labelNames: [...Object.keys(values[0]?.[0] ?? {}), ...labels],
    registers: [registry],
  }
  if (type === 'counter') {
    const counter = new Counter(options)
    for (const { labels, value } of series) counter.inc(labels, value ?? 0)
  } else {
    const gauge = new Gauge(options)
    for (const { labels, value } of series) gauge.set(labels, value ?? 0)
  }
}
