// The metrics of each worker. Memory and CPU are those of its thread or process: a worker's part of the shared loop cannot be
// measured, so a worker there has no such series.

import type { WorkerSample, WorkerStatus } from '../../herd/status.ts'
import { seconds } from './process-metrics.ts'
import type { Metric } from './process-metrics.ts'

type WorkerMetric = Metric<WorkerStatus>

const life: readonly WorkerMetric[] = [
  {
    name: 'byre_worker_state',
    help: 'Always 1; state, placement and activation of the worker are in labels.',
    type: 'gauge',
    labels: ['state', 'placement', 'activation'],
    read: ({ state, placement, activation }) => [{ labels: { state, placement, activation }, value: 1 }],
  },
  counter('byre_worker_restarts_total', 'Restarts.', (w) => w.restarts),
  {
    name: 'byre_worker_failures_total',
    help: 'Failed runs, by verdict.',
    type: 'counter',
    labels: ['verdict'],
    read: ({ failuresBy }) =>
      failuresBy && Object.entries(failuresBy).map(([verdict, value]) => ({ labels: { verdict }, value })),
  },
  counter('byre_worker_wakes_total', 'Runs that were started.', (w) => w.wakes),
  counter(
    'byre_worker_ticks_skipped_total',
    'Ticks skipped because the previous one was still running.',
    (w) => w.ticksSkipped,
  ),
  gauge(
    'byre_worker_lease_held',
    '1 when the worker holds its lease, 0 when it is on standby.',
    ({ lease }) => lease && Number(lease.held),
  ),
  gauge('byre_worker_ready_time_seconds', 'Time when it was last ready, seconds since the epoch.', (w) =>
    seconds(w.readyAt),
  ),
  gauge('byre_worker_last_exit_time_seconds', 'Time when its last run ended, seconds since the epoch.', (w) =>
    seconds(w.lastExit?.at),
  ),
  gauge(
    'byre_worker_load_seconds',
    'Load time of its module, if nothing else ran in its loop meanwhile.',
    (w) => seconds(w.load?.ms),
  ),
  gauge(
    'byre_worker_load_resident_bytes',
    'RSS added by loading its module, if nothing else ran in the process meanwhile.',
    (w) => w.load?.rssBytes,
  ),
]

const stalls: readonly WorkerMetric[] = [
  counter('byre_worker_stalls_total', 'Times it blocked its event loop.', (w) => w.stalls?.count ?? 0),
]

const bus: readonly WorkerMetric[] = [
  counter(
    'byre_worker_bus_dropped_total',
    'Messages dropped because the worker was too slow or stopped.',
    (w) => w.busDropped ?? 0,
  ),
  counter(
    'byre_worker_bus_unclaimed_total',
    'Queued messages that matched none of its subscriptions.',
    (w) => w.unclaimed ?? 0,
  ),
  gauge(
    'byre_worker_queued_messages',
    'Messages queued until the worker receives them.',
    (w) => w.queued ?? 0,
  ),
]

const sample: readonly WorkerMetric[] = [
  sampled(
    'byre_worker_cpu_ratio',
    'CPU usage of its thread or process over the last window; 1 is one core.',
    (s) => s.cpuRatio,
  ),
  {
    name: 'byre_worker_cpu_seconds_total',
    help: 'CPU time of its thread or process since the start of the run.',
    type: 'counter',
    read: ({ sample }) => seconds(sample?.cpuMs),
  },
  sampled('byre_worker_resident_memory_bytes', 'RSS of its process, from the kernel.', (s) => s.rssBytes),
  sampled(
    'byre_worker_proportional_memory_bytes',
    'PSS of its process, from smaps_rollup.',
    (s) => s.pssBytes,
  ),
  sampled(
    'byre_worker_anonymous_memory_bytes',
    'Private memory: Anonymous of smaps_rollup.',
    (s) => s.anonBytes,
  ),
  sampled('byre_worker_heap_used_bytes', 'Heap in use, from V8.', (s) => s.heap?.usedBytes),
  sampled('byre_worker_heap_limit_bytes', 'Heap limit, from V8.', (s) => s.heap?.limitBytes),
  sampled('byre_worker_sample_age_seconds', 'Age of the RSS and CPU figures.', (s) => seconds(s.ageMs)),
]

export const WORKER_METRICS: readonly WorkerMetric[] = [...life, ...stalls, ...bus, ...sample]

function counter(name: string, help: string, read: WorkerMetric['read']): WorkerMetric {
  return { name, help, type: 'counter', read }
}

function gauge(name: string, help: string, read: WorkerMetric['read']): WorkerMetric {
  return { name, help, type: 'gauge', read }
}

function sampled(
  name: string,
  help: string,
  read: (sample: WorkerSample) => number | undefined,
): WorkerMetric {
  return { name, help, type: 'gauge', read: (worker) => worker.sample && read(worker.sample) }
}
