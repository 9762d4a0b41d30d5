// A worker lives once per host and herd: refuses to start it while another supervise or run process hosts it.

import { ByreError } from '../../base/errors.ts'
import { listSockets, survey } from './survey.ts'

/** Longest a silent neighbour may delay a start, ms. */
const ASK_MS = 1000
const NAMED_MAX = 10

export interface LiveElsewhereOptions {
  /** The herd's run directory. */
  readonly folder: string
  /** This process's own socket, which is not asked. */
  readonly ownSocket: string
  /** Names of the workers about to be hosted. */
  readonly workers: readonly string[]
}

/**
 * Asks the other sockets of the herd for their workers. Throws BYRE_WORKER_DUPLICATE naming worker and pid. A socket
 * that does not answer within 1 s is returned by path: whether its workers live is not known.
 */
export async function refuseLiveElsewhere(options: LiveElsewhereOptions): Promise<readonly string[]> {
  const others = listSockets(options.folder).filter((path) => path !== options.ownSocket)
  if (others.length === 0) return []
  const { reached, unreachable } = await survey(others, ASK_MS)
  const wanted = new Set(options.workers)
  const duplicates = reached.flatMap(({ status }) =>
    status.workers
      .filter((worker) => wanted.has(worker.name))
      .map((worker) => `'${worker.name}' (pid ${status.pid}, ${status.group})`),
  )
  if (duplicates.length > 0) {
    const more = duplicates.length > NAMED_MAX ? ` and ${duplicates.length - NAMED_MAX} more` : ''
    throw new ByreError(
      'BYRE_WORKER_DUPLICATE',
      `Cannot host ${duplicates.slice(0, NAMED_MAX).join(', ')}${more}: already hosted on this machine. Stop that process first.`,
    )
  }
  // Nobody listens behind a refused or vanished socket; anything else may be a process that is just busy.
  return unreachable
    .filter(({ code }) => code !== 'ECONNREFUSED' && code !== 'ENOENT')
    .map(({ socketPath }) => socketPath)
}
