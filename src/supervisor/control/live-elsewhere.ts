// Two supervise processes of one herd must not host the same worker at once (hosted and `byre run`, or `--group batch`
// beside all groups). The check is made after the own socket is listening and before any worker is started: then of
// two processes that start at the same moment at least one sees the other.

import { resolve } from 'node:path'
import { ByreError } from '../../base/errors.ts'
import { listSockets } from '../../base/places.ts'
import type { ControlTarget, SupervisorStatus, WorkerStatus } from '../status.ts'
import { survey } from './survey.ts'
import type { Unreachable } from './survey.ts'

/** A worker this process wants to host and another one hosts already. */
export interface LiveElsewhere {
  readonly worker: string
  readonly pid: number
  readonly group: string
  readonly state: string
  readonly socketPath: string
}

export interface SiblingOptions {
  /** The herd's run directory. A process that was given another --socket is not in it and is not found. */
  readonly folder: string
  /** The own socket, listening already. */
  readonly socketPath: string
  /** This process; its workers are the ones it is about to host. Asked only when the herd has other sockets. */
  readonly target: Pick<ControlTarget, 'status'>
  /** For all siblings together. @default 1000 */
  readonly timeoutMs?: number
}

const ANSWER_MS = 1000

/**
 * The workers that live in another process of the herd on this host, and the siblings that did not answer. A worker
 * lives there unless it is stopped or quarantined; in a sibling that is itself still starting all its workers do,
 * unless that sibling is younger than this process. Takes at most `timeoutMs` for 16 sockets.
 */
export async function findLiveElsewhere(
  options: SiblingOptions,
): Promise<{ readonly live: readonly LiveElsewhere[]; readonly unreachable: readonly Unreachable[] }> {
  const own = resolve(options.socketPath)
  const others = listSockets(options.folder).filter((path) => resolve(path) !== own)
  if (others.length === 0) return { live: [], unreachable: [] }
  const mine = await options.target.status()
  const { reached, unreachable } = await survey(others, options.timeoutMs ?? ANSWER_MS)
  const wanted = new Set(mine.workers.map(({ name }) => name))
  const live = reached.flatMap(({ socketPath, status }) => {
    const { pid, group } = status
    if (status.herd !== mine.herd) return []
    return status.workers
      .filter((worker) => wanted.has(worker.name) && livesIn(status, worker, mine))
      .map((worker) => ({ worker: worker.name, pid, group, state: worker.state, socketPath }))
  })
  // The socket of a dead process is no reason for concern; its next start replaces it.
  return { live, unreachable: unreachable.filter(({ code }) => code !== 'ECONNREFUSED' && code !== 'ENOENT') }
}

/** Rejects with BYRE_WORKER_DUPLICATE, naming every such worker and its pid; returns the siblings that did not answer. */
export async function refuseLiveElsewhere(options: SiblingOptions): Promise<readonly Unreachable[]> {
  const { live, unreachable } = await findLiveElsewhere(options)
  if (live.length === 0) return unreachable
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

function livesIn(status: SupervisorStatus, worker: WorkerStatus, mine: SupervisorStatus): boolean {
  if (status.phases?.readyMs === undefined) {
    // Of two that are starting the younger one gives way; both compare the stamps of the same two statuses.
    const ageOrder = status.startedAt - mine.startedAt || status.pid - mine.pid
    return ageOrder <= 0
  }
  return worker.state !== 'stopped' && worker.state !== 'quarantined'
}
