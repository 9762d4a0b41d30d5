// The metrics of the supervise process itself, in Prometheus base units: seconds, bytes, ratios.

import type { SupervisorStatus, WorkerStateName } from '../../herd/status.ts'

/** One series of a metric that has its own labels. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Metric<S> {
  readonly name: string
  readonly help: string
  readonly type: 'gauge' | 'counter'
  /** Labels in addition to `herd`, `group` and, for a worker, `worker`. */
  readonly labels?: readonly string[]
  /** Returns undefined if there is no value now; the series is then omitted. */
  readonly read: (source: S) => number | readonly Series[] | undefined
}

const STATES: readonly WorkerStateName[] = [
  'dormant',
  'loading',
  'starting',
  'running',
  'stopping',
  'stopped',
  'backing-off',
  'quarantined',
  'standby',
]

type ProcessMetric = Metric<SupervisorStatus>

const about: readonly ProcessMetric[] = [
  {
    name: 'byre_info',
    help: 'Always 1; host, bus and Node version are in labels.',
    type: 'gauge',
    labels: ['host', 'bus', 'node'],
    read: ({ host, bus }) => [{ labels: { host, bus: bus.kind, node: process.version }, value: 1 }],
  },
  {
    name: 'byre_start_time_seconds',
    help: 'Start time of the supervisor, seconds since the epoch.',
    type: 'gauge',
    read: ({ startedAt }) => startedAt / 1000,
  },
  {
    name: 'byre_ready_seconds',
    help: 'Time from the start of the process until the herd was ready.',
    type: 'gauge',
    read: ({ phases }) => seconds(phases.readyMs),
  },
  {
    name: 'byre_phase',
    help: 'Always 1; the phase (starting, up, draining or down) is in a label.',
    type: 'gauge',
    labels: ['phase'],
    read: ({ phase }) => (phase === undefined ? undefined : [{ labels: { phase }, value: 1 }]),
  },
  {
    name: 'byre_workers',
    help: 'Workers by state.',
    type: 'gauge',
    labels: ['state'],
    read: ({ workers }) =>
      STATES.map((state) => ({
        labels: { state },
        value: workers.filter((worker) => worker.state === state).length,
      })),
  },
]

const memoryAndCpu: readonly ProcessMetric[] = [
  gaugeOf('byre_process_resident_memory_bytes', 'RSS of the process, from the kernel.', (p) => p.rssBytes),
  gaugeOf(
    'byre_process_proportional_memory_bytes',
    'PSS of the process, from smaps_rollup.',
    (p) => p.pssBytes,
  ),
  gaugeOf(
    'byre_process_anonymous_memory_bytes',
    'Private memory: Anonymous of smaps_rollup.',
    (p) => p.anonBytes,
  ),
  gaugeOf('byre_process_heap_used_bytes', 'Heap in use, from V8.', (p) => p.heapUsedBytes),
  gaugeOf('byre_loop_delay_p99_seconds', "Lateness of the supervisor's timers, p99 of the last 512.", (p) =>
    seconds(p.loopDelayP99Ms),
  ),
  {
    name: 'byre_process_cpu_seconds_total',
    help: 'User and system time of the process.',
    type: 'counter',
    read: () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
  },
]

const busAndAdmission: readonly ProcessMetric[] = [
  gaugeFrom('byre_bus_connections', 'Open upstream connections.', ({ bus }) => bus.connections),
  gaugeFrom('byre_bus_up', 'Whether the upstream bus is reachable.', ({ bus }) =>
    bus.up === undefined ? undefined : Number(bus.up),
  ),
  gaugeFrom(
    'byre_bus_unsent_messages',
    'Messages waiting to be sent or acknowledged.',
    ({ bus }) => bus.unsent,
  ),
  counterFrom('byre_bus_gaps_total', 'Lost subscriber connections.', ({ bus }) => bus.gaps),
  counterFrom(
    'byre_bus_rejected_total',
    'Messages rejected while the bus was unreachable.',
    ({ bus }) => bus.rejected,
  ),
  counterFrom(
    'byre_bus_malformed_total',
    'Deliveries that were not a valid envelope.',
    ({ bus }) => bus.malformed,
  ),
  gaugeFrom('byre_admission_loading_workers', 'Workers being loaded.', ({ admission }) => admission?.loading),
  gaugeFrom(
    'byre_admission_waiting_workers',
    'Workers waiting for a load slot.',
    ({ admission }) => admission?.waiting,
  ),
]

export const PROCESS_METRICS: readonly ProcessMetric[] = [...about, ...memoryAndCpu, ...busAndAdmission]

export function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000
}

function gaugeOf(
  name: string,
  help: string,
  read: (figures: SupervisorStatus['process']) => number | undefined,
): ProcessMetric {
  return { name, help, type: 'gauge', read: ({ process }) => read(process) }
}

function gaugeFrom(name: string, help: string, read: ProcessMetric['read']): ProcessMetric {
  return { name, help, type: 'gauge', read }
}

function counterFrom(name: string, help: string, read: ProcessMetric['read']): ProcessMetric {
  return { name, help, type: 'counter', read }
}
