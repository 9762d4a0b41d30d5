// The output of `byre supervise --explain`: the start and stop order of a herd, and when a failing worker would be
// restarted. Pure: it calls the functions that decide at run time.

import { formatDurationMs } from '../base/durations.ts'
import { startOrder } from '../config/order.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import { delaySeries, JITTER } from '../herd/restart.ts'
import { textTable } from './text-table.ts'

export interface ExplainOptions {
  /** Names of the workers that would be hosted. @default all */
  readonly only?: readonly string[]
  /** Columns of the terminal. @default unlimited */
  readonly width?: number
}

/** Maximum number of delays shown; the rest is given as a count. */
const MAX_DELAYS = 10

/** The start and stop order, then one line per worker with activation and restarts. Ends with a newline. */
export function explainHerd(herd: ResolvedHerd, options: ExplainOptions = {}): string {
  const { only, ...table } = options
  const workers = herd.workers.filter(({ name }) => only === undefined || only.includes(name))
  const levels = startOrder(workers)
  const lines = [
    `herd '${herd.name}', ${workers.length} of ${herd.workers.length} workers, config ${herd.file}`,
    '',
    'Start order (workers on one line start together, after the workers in their after and requires):',
    ...levels.map((level, i) => `  ${i + 1}. ${level.join(', ')}`),
    '',
    'Stop order (a worker that exceeds its stopTimeout is reported as unstopped):',
    ...levels.toReversed().map((level, i) => `  ${i + 1}. ${level.toReversed().join(', ')}`),
    '',
    `Restart delays after consecutive failures (each multiplied by a random factor from 1 to ${1 + JITTER}):`,
    ...textTable(COLUMNS, workers.map(row), { ...table, indent: '  ' }),
  ]
  return `${lines.join('\n')}\n`
}

const COLUMNS = [
  { title: 'WORKER' },
  { title: 'STARTS' },
  { title: 'RESTART' },
  { title: 'STOP WITHIN', dropAt: 1 },
  { title: 'DELAYS AND LIMIT' },
]

function row(worker: ResolvedWorker): string[] {
  return [
    worker.name,
    startsOn(worker),
    worker.restart,
    formatDurationMs(worker.stopTimeoutMs),
    restarts(worker),
  ]
}

function startsOn({ activation }: ResolvedWorker): string {
  if (activation.kind === 'eager') return 'immediately'
  const causes: string[] = []
  if (activation.topics.length > 0) causes.push(`topic ${activation.topics.join(', ')}`)
  if (activation.streams.length > 0) causes.push(`stream ${activation.streams.join(', ')}`)
  if (activation.everyMs !== undefined) causes.push(`every ${formatDurationMs(activation.everyMs)}`)
  if (activation.cron !== undefined)
    causes.push(`cron ${activation.cron.expression} ${activation.cron.timezone}`)
  return causes.join('; ')
}

function restarts(worker: ResolvedWorker): string {
  const { limit, onLimit, critical, backoff } = worker
  const end = critical ? 'the herd stops (critical)' : END[onLimit]
  const within = `failure ${limit.failures} within ${formatDurationMs(limit.withinMs)}: ${end}`
  const count = limit.failures - 1
  if (worker.restart === 'never') return `none; ${within}`
  if (count === 0) return within
  const delays = delaySeries(backoff, Math.min(count, MAX_DELAYS)).map(formatDurationMs)
  const more = count > MAX_DELAYS ? `, ... (${count} in total)` : ''
  const reset = `reset after ${formatDurationMs(backoff.resetAfterMs)} up`
  return `${delays.join(', ')}${more}; ${within}; ${reset}`
}

const END = {
  quarantine: 'quarantined until byre start',
  eject: 'moved to a separate process',
  exit: 'the whole process exits',
} as const
