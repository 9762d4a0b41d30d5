// The systemd units of a herd: one per group, one per worker alone, the resume unit and the slice. Pure.

import { startBudgetMs, stopBudgetMs } from '../config/stop-budget.ts'
import type { ResolvedHerd, ResolvedWorker } from '../config/types.ts'
import { grantsOf } from './grants.ts'
import { groupUnit, resumeUnit, workerUnit } from './unit-names.ts'
import { argument, HEADER, hostingUnitText, sections } from './unit-text.ts'
import type { Installation } from './unit-text.ts'

export interface HerdUnitsOptions {
  readonly install: Omit<Installation, 'folder'>
  /** Name pattern of existing units of single workers, with `%w` for the worker; when set, no such units are made. */
  readonly individual?: string
  readonly watchdogMs: number
}

export interface UnitFile {
  readonly name: string
  readonly text: string
}

/** systemd's default TimeoutStartSec=; a herd that may take longer gets its own start budget. */
const START_MS = 90_000

/** All unit files, each with a header that names its config. */
export function herdUnits(herd: ResolvedHerd, options: HerdUnitsOptions): UnitFile[] {
  const groups = [...new Set(herd.workers.map(({ group }) => group))]
  const header = unitHeader(herd)
  return [
    ...groups.map((group) => groupFile(herd, group, options)),
    ...(options.individual === undefined
      ? herd.workers.map((worker) => workerFile(herd, worker, options))
      : []),
    resumeFile(herd, options),
    { name: 'byre.slice', text: SLICE },
  ].map(({ name, text }) => ({ name, text: `${header}\n\n${text}` }))
}

/** The first line of each file; only files with this line may be overwritten. */
export function unitHeader(herd: Pick<ResolvedHerd, 'name' | 'file'>): string {
  return `${HEADER} for herd ${herd.name} from ${herd.file}`
}

const SLICE = sections([
  ['Unit', [['Description', 'All herds of byre']]],
  [
    'Slice',
    [
      ['MemoryAccounting', 'yes'],
      ['CPUAccounting', 'yes'],
    ],
  ],
])

function groupFile(herd: ResolvedHerd, group: string, options: HerdUnitsOptions): UnitFile {
  const workers = herd.workers.filter((worker) => worker.group === group)
  const { memoryHighBytes, memoryMaxBytes } = herd.groups[group] ?? {}
  const text = hostingUnitText({
    description: `byre: ${workers.length} workers of group ${group} of herd ${herd.name}`,
    command: ['supervise', '--config', herd.file, '--group', group],
    stoppedArguments: [herd.name, group],
    ...common(herd, workers, options),
    conflicts: workers.map(({ name }) => workerUnit(herd.name, name, options.individual)),
    workers: workers.map(({ name }) => name),
    after: [...NETWORK, ...groupsBefore(herd, workers).map((other) => groupUnit(herd.name, other))],
    restart: 'on-failure',
    ...(memoryHighBytes === undefined ? {} : { memoryHighBytes }),
    ...(memoryMaxBytes === undefined ? {} : { memoryMaxBytes }),
    logFields: { BYRE_HERD: herd.name, BYRE_GROUP: group },
  })
  return { name: groupUnit(herd.name, group), text }
}

function workerFile(herd: ResolvedHerd, worker: ResolvedWorker, options: HerdUnitsOptions): UnitFile {
  const { name, group, memoryMaxBytes, after, requires } = worker
  const text = hostingUnitText({
    description: `byre: worker ${name} of herd ${herd.name}, alone`,
    command: ['run', name, '--config', herd.file],
    stoppedArguments: [herd.name, `run-${name}`],
    ...common(herd, [worker], options),
    conflicts: [groupUnit(herd.name, group)],
    after: [...NETWORK, ...new Set([...after, ...requires].map((other) => workerUnit(herd.name, other)))],
    restart: worker.restart === 'never' ? 'no' : worker.restart,
    ...(memoryMaxBytes === undefined ? {} : { memoryMaxBytes }),
    logFields: { BYRE_HERD: herd.name, BYRE_WORKER: name },
  })
  return { name: workerUnit(herd.name, name), text }
}

const NETWORK = ['network.target']

function common(
  herd: ResolvedHerd,
  workers: readonly ResolvedWorker[],
  { install, watchdogMs }: HerdUnitsOptions,
) {
  return {
    install: { ...install, folder: herd.folder },
    grants: grantsOf(herd, workers),
    startMs: Math.max(START_MS, startBudgetMs(workers)),
    stopMs: stopBudgetMs(workers),
    watchdogMs,
    hasProcessWorkers: workers.some(
      ({ placement, onLimit, onStall }) =>
        placement === 'process' || onLimit === 'eject' || onStall === 'eject',
    ),
    limitsProcessMemory: workers.some(
      ({ placement, memoryMaxBytes }) => placement === 'process' && memoryMaxBytes !== undefined,
    ),
    readPaths: workers.flatMap(({ source, cwd }) => (cwd === undefined ? [source.path] : [source.path, cwd])),
  }
}

/** Other groups with a worker that must be ready before one of `workers` starts. */
function groupsBefore(herd: ResolvedHerd, workers: readonly ResolvedWorker[]): string[] {
  const groupOf = new Map(herd.workers.map(({ name, group }) => [name, group]))
  const own = workers[0]?.group
  const names = workers.flatMap(({ after, requires }) => [...after, ...requires])
  return [...new Set(names.map((name) => groupOf.get(name)!))].filter((group) => group !== own)
}

function resumeFile(herd: ResolvedHerd, { install }: HerdUnitsOptions): UnitFile {
  const launcher = install.launcher ?? `${install.unitsFolder}/byre`
  const text = sections([
    [
      'Unit',
      [
        ['Description', `byre: complete or roll back an interrupted swap of herd ${herd.name}`],
        ['ConditionDirectoryNotEmpty', `/var/lib/byre-swap/${herd.name}`],
      ],
    ],
    [
      'Service',
      [
        ['Type', 'oneshot'],
        ['ExecStart', [launcher, 'swap', '--resume', '--herd', herd.name].map(argument).join(' ')],
        ['TimeoutStartSec', 'infinity'],
        ['SyslogIdentifier', 'byre'],
      ],
    ],
    ['Install', [['WantedBy', 'multi-user.target']]],
  ])
  return { name: resumeUnit(herd.name), text }
}
