// What a thread or a child is given of the herd's own: its environment, its heap limit, the sockets of systemd.

import type { ResolvedWorker } from '../config/types.ts'

/** The supervisor's alone: descriptors and promises of the service manager that a child does not have. */
const SUPERVISORS_OWN = [
  'NOTIFY_SOCKET',
  'SD_NOTIFY_FD',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_PID',
  // A guest is guarded until it is ready itself.
  'BYRE_GUARD_LIFTED',
  // Of the supervisor's own cgroup and launcher: a byre that a worker starts must not take them for its own.
  'BYRE_CGROUP',
  'BYRE_NODE_FLAGS',
]

const OF_SOCKETS = ['LISTEN_FDS', 'LISTEN_FDNAMES']

/** How many sockets systemd opened for this process, descriptors 3 and on (sd_listen_fds(3)); a child gets the same ones
 *  under the same numbers. 0 to 99. */
export function inheritedSockets(): number {
  const { LISTEN_FDS: count = '', LISTEN_PID: pid } = process.env
  return pid === String(process.pid) && /^[1-9]\d?$/.test(count) ? Number(count) : 0
}

/** The supervisor's environment with the worker's `env` on top. */
export function childEnvironment(spec: ResolvedWorker): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env }
  for (const name of inheritedSockets() > 0 ? SUPERVISORS_OWN : [...SUPERVISORS_OWN, ...OF_SOCKETS])
    delete env[name]
  return { ...env, ...spec.env }
}

/** V8 needs a few MiB to run at all. */
const HEAP_MIN_MIB = 8

/** The old generation's limit that follows from memoryMax, MiB; undefined without one. */
export function heapLimitMiB(spec: ResolvedWorker): number | undefined {
  if (spec.memoryMaxBytes === undefined) return undefined
  return Math.max(HEAP_MIN_MIB, Math.floor(spec.memoryMaxBytes / 1_048_576))
}

/** What to do about a heap that was full; `limitMiB` as of heapLimitMiB. Goes on where a sentence stands. */
export function heapRemedy(worker: string, limitMiB: number | undefined): string {
  return limitMiB === undefined
    ? ". The limit was V8's own: memoryMax sets another"
    : ` (limit ${limitMiB} MiB, from memoryMax). Raise it, or see what it keeps: byre profile ${worker} --heap`
}
