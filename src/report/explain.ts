// What `byre supervise --explain` prints: in which order a herd would start and stop, and when a failing worker would be
// started again. Pure: it asks the same functions that decide at run time.

import { formatDurationMs } from '../base/durations.ts'
import { startOrder } from '../config/order.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import { delaySeries, JITTER } from '../herd/restart.ts'
import { textTable } from './text-table.ts'

export interface ExplainOptions {
  /** The workers that would be hosted. @default all */
  readonly only?: readonly string[]
  /** Columns of the terminal. @default unlimited */
  readonly width?: number
}

/** The delays shown; more of them are summed up as the last one going on. */
const MAX_DELAYS = 10

/** Start and stop order, then one line per worker about activation and restarts. Ends with a newline. */
export function explainHerd(herd: ResolvedHerd, options: ExplainOptions = {}): string {
  const { only, ...table } = options
  const workers = herd.workers.filter(({ name }) => only === undefined || only.includes(name))
  const levels = startOrder(workers)
  const lines = [
    `herd '${herd.name}', ${workers.length} of ${herd.workers.length} workers, config ${herd.file}`,
    '',
    'Start order (workers of one line start together; each line waits for what its workers name in after and requires):',
    ...levels.map((level, i) => `  ${i + 1}. ${level.join(', ')}`),
    '',
    'Stop order (each worker has its stopTimeout, then it is named as unstopped):',
    ...levels.toReversed().map((level, i) => `  ${i + 1}. ${level.toReversed().join(', ')}`),
    '',
    `Restart delays after failures in a row (each times a random factor from 1 to ${1 + JITTER}):`,
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
  if (activation.kind === 'eager') return 'at once'
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
  const more = count > MAX_DELAYS ? `, ... (${count} in all)` : ''
  const reset = `forgotten after ${formatDurationMs(backoff.resetAfterMs)} up`
  return `${delays.join(', ')}${more}; ${within}; ${reset}`
}

const END = {
  quarantine: 'quarantined until byre start',
  eject: 'moved to a process of its own',
  exit: 'the whole process exits',
} as const
