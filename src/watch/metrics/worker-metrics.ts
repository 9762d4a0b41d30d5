// What is told of each worker. Memory and CPU are those of its own thread or process: in the shared loop nobody can
// measure a worker's part, and there is no series then.

import type { WorkerSample, WorkerStatus } from '../../herd/status.ts'
import { seconds } from './process-metrics.ts'
import type { Metric } from './process-metrics.ts'

type WorkerMetric = Metric<WorkerStatus>

const life: readonly WorkerMetric[] = [
  {
    name: 'byre_worker_state',
    help: 'Always 1; state, placement and activation of the worker, in labels.',
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
  counter('byre_worker_wakes_total', 'Runs that were begun.', (w) => w.wakes),
  counter(
    'byre_worker_ticks_skipped_total',
    'Ticks that came while a run was under way.',
    (w) => w.ticksSkipped,
  ),
  gauge(
    'byre_worker_lease_held',
    'Of a worker with a lease: 1 when its run holds it, 0 when it stands by.',
    ({ lease }) => lease && Number(lease.held),
  ),
  gauge('byre_worker_ready_time_seconds', 'When it was last ready, seconds since the epoch.', (w) =>
    seconds(w.readyAt),
  ),
  gauge('byre_worker_last_exit_time_seconds', 'When its last run ended, seconds since the epoch.', (w) =>
    seconds(w.lastExit?.at),
  ),
  gauge(
    'byre_worker_load_seconds',
    'How long its module took to load, where nothing else ran in its loop.',
    (w) => seconds(w.load?.ms),
  ),
  gauge(
    'byre_worker_load_resident_bytes',
    'RSS its load added to the process, where nothing else ran in that.',
    (w) => w.load?.rssBytes,
  ),
]

const stalls: readonly WorkerMetric[] = [
  counter('byre_worker_stalls_total', 'Times it held its loop.', (w) => w.stalls?.count ?? 0),
]

const bus: readonly WorkerMetric[] = [
  counter(
    'byre_worker_bus_dropped_total',
    'Messages dropped because it was behind or stopped.',
    (w) => w.busDropped ?? 0,
  ),
  counter(
    'byre_worker_bus_unclaimed_total',
    'Kept messages no subscription of it covered.',
    (w) => w.unclaimed ?? 0,
  ),
  gauge('byre_worker_queued_messages', 'Messages kept until it takes them.', (w) => w.queued ?? 0),
]

const sample: readonly WorkerMetric[] = [
  sampled(
    'byre_worker_cpu_ratio',
    'CPU of its thread or process over the last window, 1 is one core.',
    (s) => s.cpuRatio,
  ),
  {
    name: 'byre_worker_cpu_seconds_total',
    help: 'CPU time of its thread or process since the run began.',
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
  sampled('byre_worker_heap_used_bytes', 'Its heap in use, from V8.', (s) => s.heap?.usedBytes),
  sampled('byre_worker_heap_limit_bytes', 'The limit of its heap, from V8.', (s) => s.heap?.limitBytes),
  sampled('byre_worker_sample_age_seconds', 'How old RSS and CPU are.', (s) => seconds(s.ageMs)),
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
