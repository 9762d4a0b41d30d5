// The table of `byre status`. Pure.

import { formatMegabytes } from '../base/bytes.ts'
import { formatDurationMs } from '../base/durations.ts'
import type { SupervisorStatus, WorkerStatus } from '../herd/status.ts'
import { printable, textTable } from './text-table.ts'
import type { Column } from './text-table.ts'

export interface StatusTableOptions {
  /** Current time in ms since the epoch; ages are relative to it. */
  readonly now: number
  /** Columns of the terminal. @default unlimited */
  readonly width?: number
  /** Shows the host of each process. @default false */
  readonly hosts?: boolean
}

const COLUMNS: readonly Column[] = [
  { title: 'WORKER' },
  { title: 'STATE' },
  { title: 'IN', dropAt: 1 },
  { title: 'RESTARTS', align: 'right', dropAt: 2 },
  { title: 'LOAD', align: 'right', dropAt: 4 },
  { title: 'MEMORY', align: 'right', dropAt: 3 },
  { title: 'NOTE' },
]

/** One block per supervise process: a headline, its workers in config order, and their counts by state. Ends with a
 *  newline. */
export function statusTable(supervisors: readonly SupervisorStatus[], options: StatusTableOptions): string {
  return supervisors.map((s) => block(s, options).join('\n')).join('\n\n') + '\n'
}

function block(status: SupervisorStatus, options: StatusTableOptions): string[] {
  const rows = status.workers.map((worker) => row(worker, options.now))
  const table = textTable(COLUMNS, rows, { ...options, indent: '  ' })
  return [
    headline(status, options),
    ...(rows.length === 0 ? ['  (no workers)'] : table),
    summary(status.workers),
  ]
}

function headline(status: SupervisorStatus, { now, hosts }: StatusTableOptions): string {
  const { process: figures, phases, bus } = status
  const parts = [
    `${status.herd}/${status.group}`,
    ...(hosts === true ? [`on ${status.host}`] : []),
    `pid ${status.pid}`,
    `up ${age(now - status.startedAt)}`,
    describeBus(bus),
  ]
  if (figures.pssBytes !== undefined) parts.push(`pss ${formatMegabytes(figures.pssBytes)}`)
  else if (figures.rssBytes !== undefined) parts.push(`rss ${formatMegabytes(figures.rssBytes)}`)
  if (figures.anonBytes !== undefined) parts.push(`private ${formatMegabytes(figures.anonBytes)}`)
  if (figures.loopDelayP99Ms !== undefined) parts.push(`loop p99 ${formatDurationMs(figures.loopDelayP99Ms)}`)
  parts.push(phases.readyMs === undefined ? 'starting' : `ready in ${formatDurationMs(phases.readyMs)}`)
  return printable(parts.join('  '))
}

function describeBus(bus: SupervisorStatus['bus']): string {
  const parts = [`${bus.kind} bus`]
  if (bus.kind !== 'embedded') parts.push(`${bus.connections} connections`)
  if (bus.up === false) parts.push('down')
  if (bus.gaps !== undefined && bus.gaps > 0) parts.push(`${bus.gaps} gaps`)
  return parts.join(', ')
}

function row(worker: WorkerStatus, now: number): string[] {
  return [
    worker.name,
    worker.state,
    worker.placement,
    String(worker.restarts),
    loadOf(worker),
    worker.rssBytes === undefined ? '-' : formatMegabytes(worker.rssBytes),
    notes(worker, now).join('; '),
  ]
}

function loadOf({ load }: WorkerStatus): string {
  if (load === undefined) return '-'
  const time = load.ms === undefined ? [] : [formatDurationMs(load.ms)]
  const memory = load.rssBytes === undefined ? [] : [`+${formatMegabytes(load.rssBytes)}`]
  return [...time, ...memory].join(' ') || '-'
}

/** Notes for the operator, the most urgent first. */
function notes(worker: WorkerStatus, now: number): string[] {
  const { quarantine, retryAt, waitingFor, lastExit } = worker
  const found: string[] = []
  if (worker.state === 'quarantined') found.push(quarantine ?? 'quarantined')
  if (worker.state === 'backing-off' && retryAt !== undefined)
    found.push(`next start in ${age(retryAt - now)}`)
  if (waitingFor !== undefined && waitingFor.length > 0) found.push(`waiting for ${waitingFor.join(', ')}`)
  if (worker.codeChanged === true) found.push('code changed on disk since it was loaded')
  if (worker.busDropped !== undefined && worker.busDropped > 0)
    found.push(`${worker.busDropped} messages dropped`)
  if (worker.unclaimed !== undefined && worker.unclaimed > 0)
    found.push(`${worker.unclaimed} messages unclaimed`)
  if (worker.ticksSkipped !== undefined && worker.ticksSkipped > 0)
    found.push(`${worker.ticksSkipped} ticks skipped`)
  if (lastExit !== undefined)
    found.push(`${lastExit.verdict} ${age(now - lastExit.at)} ago: ${lastExit.reason}`)
  return found
}

/** '3 running, 15 dormant', in the order in which the states first occur. */
function summary(workers: readonly WorkerStatus[]): string {
  const counts = new Map<string, number>()
  for (const { state } of workers) counts.set(state, (counts.get(state) ?? 0) + 1)
  const parts = [...counts].map(([state, count]) => `${count} ${state}`)
  return `  ${workers.length} worker${workers.length === 1 ? '' : 's'}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`
}

/** At most two units: '3s', '2m 5s', '2h 3m', '4d 1h'. A negative time, after the clock was set back, gives '0s'. */
function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ]
  const first = units.findIndex(([, size]) => seconds >= size)
  if (first === -1) return '0s'
  const [unit, size] = units[first]!
  const text = `${Math.floor(seconds / size)}${unit}`
  const next = units[first + 1]
  const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[1])
  return rest === 0 ? text : `${text} ${rest}${next![0]}`
}
