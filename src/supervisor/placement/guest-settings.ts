// What a thread or a child is given of the herd's own: its environment and its heap limit.

import type { ResolvedWorker } from '../../config/types.ts'

/** The supervisor's alone: descriptors and promises of the service manager that a child does not have. */
const SUPERVISORS_OWN = [
  'NOTIFY_SOCKET',
  'SD_NOTIFY_FD',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
  // A guest is guarded until it is ready itself.
  'BYRE_GUARD_LIFTED',
]

/** The supervisor's environment with the worker's `env` on top. */
export function guestEnvironment(spec: ResolvedWorker): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env }
  for (const name of SUPERVISORS_OWN) delete env[name]
  return { ...env, ...spec.env }
}

/** V8 needs a few MiB to run at all. */
const HEAP_MIN_MIB = 8

/** The old generation's limit that follows from memoryMax, MiB; undefined without one. */
export function heapLimitMiB(spec: ResolvedWorker): number | undefined {
  if (spec.memoryMaxBytes === undefined) return undefined
  return Math.max(HEAP_MIN_MIB, Math.floor(spec.memoryMaxBytes / 1_048_576))
}
