// Refuses a start whose workers already run in another process of the herd on this host (`byre run` of a hosted worker, or
// `--group batch` in parallel with all groups). The check is made after this process's socket is listening and before any worker
// starts, so of two processes that start at the same moment at least one sees the other. Loaded only when there are others.

import { resolve } from 'node:path'
import { ByreError } from '../base/errors.ts'
import { listSockets } from '../base/places.ts'
import type { ControlTarget, SupervisorStatus, WorkerStatus } from '../herd/status.ts'
import type { Sibling } from './herd-mark.ts'
import { survey } from './client.ts'
import type { Unreachable } from './client.ts'

/** A worker that this process is about to host and another one hosts already. */
export interface LiveElsewhere {
  readonly worker: string
  readonly pid: number
  readonly group: string
  readonly state: string
  readonly socketPath: string
}

export interface SiblingOptions {
  /** The herd's run directory. */
  readonly folder: string
  /** Processes with a mark on this host, wherever their sockets are. @default none */
  readonly siblings?: readonly Sibling[]
  /** All workers that a process with this label may host. @default none */
  readonly workersOf?: (label: string) => readonly string[]
  /** This process's socket, listening already. */
  readonly socketPath: string
  /** This process; its status lists the workers it is about to host. Called only when the herd has other sockets. */
  readonly target: Pick<ControlTarget, 'status'>
  /** Limit for 16 siblings, which are queried at once. @default 1000 */
  readonly timeoutMs?: number
}

const ANSWER_MS = 1000

/**
 * The workers that run in another process of the herd on this host, and the siblings that did not answer. A worker runs there
 * unless it is stopped or quarantined. In a sibling that is still starting all workers count as running, unless that sibling is
 * younger than this process.
 */
export async function findLiveElsewhere(
  options: SiblingOptions,
): Promise<{ readonly live: readonly LiveElsewhere[]; readonly unreachable: readonly Unreachable[] }> {
  const own = resolve(options.socketPath)
  const marked = (options.siblings ?? []).flatMap(({ socketPath }) => socketPath ?? [])
  const known = [...listSockets(options.folder), ...marked].map((path) => resolve(path))
  const others = [...new Set(known)].filter((path) => path !== own)
  if (others.length === 0) return { live: [], unreachable: [] }
  const mine = await options.target.status()
  const { reached, unreachable } = await survey(others, options.timeoutMs ?? ANSWER_MS)
  const wanted = new Set(mine.workers.map(({ name }) => name))
  const live = reached.flatMap(({ socketPath, status }) => {
    const { pid, group } = status
    if (status.herd !== mine.herd) return []
    return status.workers
      .filter((worker) => wanted.has(worker.name) && runsIn(status, worker, mine))
      .map((worker) => ({ worker: worker.name, pid, group, state: worker.state, socketPath }))
  })
  // The socket of a dead process is harmless; the next start replaces it.
  return { live, unreachable: unreachable.filter(({ code }) => code !== 'ECONNREFUSED' && code !== 'ENOENT') }
}

/** Rejects with BYRE_WORKER_DUPLICATE, naming every duplicate worker and its pid. Resolves with the siblings that did not answer. */
export async function refuseLiveElsewhere(options: SiblingOptions): Promise<readonly Unreachable[]> {
  const { live, unreachable } = await findLiveElsewhere(options)
  if (live.length === 0) {
    await refuseForeign(options, unreachable)
    refuseSameState(options.siblings ?? [])
    const silent = (options.siblings ?? []).filter(({ socketPath }) => socketPath === undefined)
    return [...unreachable, ...silent.map(() => SILENT)]
  }
  const list = live.map(
    ({ worker, pid, group, state }) => `'${worker}' is ${state} in pid ${pid} (group ${group})`,
  )
  throw new ByreError(
    'BYRE_WORKER_DUPLICATE',
    `Cannot start: a worker runs once per herd on a host, and ${list.join(', ')}. ` +
      'Stop it there first (byre stop, or end that process), or host other workers with --group or --only.',
    { details: { live } },
  )
}

const SILENT: Unreachable = {
  socketPath: '',
  name: 'unknown',
  code: 'timeout',
  reason: 'Another process that hosts workers of this config did not answer within a second.',
}

/** A sibling of another user cannot be queried: it counts as hosting every worker that it may host. */
async function refuseForeign(options: SiblingOptions, unreachable: readonly Unreachable[]): Promise<void> {
  const closed = new Set(unreachable.filter(({ code }) => code === 'EACCES').map((u) => u.socketPath))
  if (closed.size === 0) return
  const mine = new Set((await options.target.status()).workers.map(({ name }) => name))
  for (const { pid, label = '', socketPath = '' } of options.siblings ?? []) {
    const shared = (options.workersOf?.(label) ?? []).find((name) => mine.has(name))
    if (shared === undefined || !closed.has(resolve(socketPath))) continue
    throw new ByreError(
      'BYRE_WORKER_DUPLICATE',
      `Cannot start: a worker runs once per herd on a host, and '${shared}' belongs to pid ${pid} (group ${label}), ` +
        `and this user has no access to its socket ${socketPath}. Stop it there first, or host other workers with --group or --only.`,
      { details: { pid, group: label, socketPath } },
    )
  }
}

function refuseSameState(siblings: readonly Sibling[]): void {
  const same = siblings.find(({ sameState }) => sameState)
  if (same === undefined) return
  const { pid, label, socketPath } = same
  const who =
    pid === undefined ? 'a process that does not answer' : `pid ${pid} (group ${label}, socket ${socketPath})`
  throw new ByreError(
    'BYRE_WORKER_DUPLICATE',
    `Cannot start: ${who} uses the same state files. End it first, or set STATE_DIRECTORY or XDG_STATE_HOME to another directory.`,
    { details: { pid, group: label, socketPath } },
  )
}

function runsIn(status: SupervisorStatus, worker: WorkerStatus, mine: SupervisorStatus): boolean {
  if (status.phases?.readyMs === undefined) {
    // Of two starting processes the younger one is refused; both compare the times in the same two statuses.
    const ageOrder = status.startedAt - mine.startedAt || status.pid - mine.pid
    return ageOrder <= 0
  }
  return worker.state !== 'stopped' && worker.state !== 'quarantined'
}
