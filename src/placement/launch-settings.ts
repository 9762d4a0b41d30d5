// The settings with which a worker's thread or process is started: command line, environment, heap limit, inherited sockets. A
// script is started as `node script` without any trace of byre, unless its config has `inside`.

import { fileURLToPath } from 'node:url'
import { ByreError } from '../base/errors.ts'
import { mallocSetting } from '../base/malloc.ts'
import { ownFile } from '../base/own-files.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { startNote } from './wire/start-note.ts'
import type { StartNote } from './wire/start-note.ts'

const ENTRY = fileURLToPath(ownFile('placement/child/process-entry.js'))
const PRELOAD = fileURLToPath(ownFile('placement/child/script-preload.js'))

/** Whether the process has a wire to the supervisor: every module has one, and a script with `inside`. */
export function isWired({ source, inside }: ResolvedWorker): boolean {
  return source.kind === 'module' || inside === true
}

/** The arguments of node. `supervisorFlags` is the supervisor's process.execArgv. */
export function commandLine(spec: ResolvedWorker, supervisorFlags: readonly string[]): string[] {
  const { source } = spec
  const heap = heapLimitMiB(spec)
  const flags = [
    ...inheritedFlags(supervisorFlags, spec),
    ...(heap === undefined ? [] : [`--max-old-space-size=${heap}`]),
  ]
  if (source.kind === 'module') return [...flags, ENTRY]
  return [...flags, ...preloadOf(spec), source.path, ...source.args]
}

/** Throws BYRE_UNSUPPORTED where Node's --require does not load ES modules. */
function preloadOf({ inside }: ResolvedWorker): string[] {
  if (inside !== true) return []
  if ((process.features as { require_module?: boolean }).require_module !== true)
    throw new ByreError(
      'BYRE_UNSUPPORTED',
      `'inside' needs Node 20.19, 22.12 or a later version, got ${process.version}. Remove 'inside', or use another Node.`,
    )
  return [`--require=${PRELOAD}`]
}

/** `note` is for byre's code in the process; undefined where there is none. */
export function environment(spec: ResolvedWorker, note: StartNote | undefined): NodeJS.ProcessEnv {
  const env = childEnvironment(spec)
  return {
    ...env,
    ...(spec.lean === true ? mallocFor(spec, env) : {}),
    ...(note === undefined ? {} : startNote(note)),
  }
}

/** A setting in the worker's environment takes precedence, as a setting of the user does in units/byre. */
function mallocFor({ source }: ResolvedWorker, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['MALLOC_MMAP_THRESHOLD_'] !== undefined || env['GLIBC_TUNABLES'] !== undefined) return {}
  const { BYRE_MALLOC: mark, ...setting } = mallocSetting()
  // The mark makes byre's code remove the setting in the process of a module; in a script no code removes it.
  return source.kind === 'script' || mark === undefined ? setting : { ...setting, BYRE_MALLOC: mark }
}

/** Flags that affect how a module is loaded and what it prints: they apply in every placement. */
const OF_CODE = /^(?:--(?:enable-source-maps|conditions|import|require|no-warnings|trace-)|-[Cr]$)/
/** Flags that reduce the memory of a process. */
const OF_MEMORY = /^--max-semi-space-size/
/** Flags of both kinds whose value may be the next argument: `--import x` is the same as `--import=x`. */
const TAKES_VALUE = /^(?:--(?:max-semi-space-size|conditions|import|require)|-[Cr])$/

/** The supervisor's Node flags that apply to this worker as well. */
export function inheritedFlags(
  supervisorFlags: readonly string[],
  { lean, source }: Pick<ResolvedWorker, 'lean' | 'source'>,
): string[] {
  const wanted = (flag: string): boolean =>
    lean === true
      ? OF_CODE.test(flag) || OF_MEMORY.test(flag)
      : source.kind === 'module' && OF_CODE.test(flag)
  return supervisorFlags.flatMap((flag, i) => {
    if (!wanted(flag)) return []
    const value = TAKES_VALUE.test(flag) ? supervisorFlags[i + 1] : undefined
    return value === undefined ? [flag] : [flag, value]
  })
}

/** Variables for the supervisor only: they refer to descriptors and a watchdog that a child does not have. */
const SUPERVISOR_ONLY = [
  'NOTIFY_SOCKET',
  'SD_NOTIFY_FD',
  'WATCHDOG_USEC',
  'WATCHDOG_PID',
  'LISTEN_PID',
  // The child is guarded until it is ready.
  'BYRE_GUARD_LIFTED',
  // They describe the supervisor's cgroup and launcher; a byre that a worker starts must not apply them to itself.
  'BYRE_CGROUP',
  'BYRE_NODE_FLAGS',
]

const SOCKET_VARIABLES = ['LISTEN_FDS', 'LISTEN_FDNAMES']

/** Number of sockets that systemd opened for this process, from descriptor 3 on (sd_listen_fds(3)), 0 to 99. A child gets
 *  the same sockets under the same numbers. */
export function inheritedSockets(): number {
  const { LISTEN_FDS: count = '', LISTEN_PID: pid } = process.env
  return pid === String(process.pid) && /^[1-9]\d?$/.test(count) ? Number(count) : 0
}

/** The supervisor's environment with the worker's `env` on top. */
export function childEnvironment(spec: ResolvedWorker): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env }
  for (const name of inheritedSockets() > 0 ? SUPERVISOR_ONLY : [...SUPERVISOR_ONLY, ...SOCKET_VARIABLES])
    delete env[name]
  return { ...env, ...spec.env }
}

/** V8 does not run with less. */
const HEAP_MIN_MIB = 8

/** Limit of the old generation that follows from memoryMax, MiB; undefined without memoryMax. */
export function heapLimitMiB(spec: ResolvedWorker): number | undefined {
  if (spec.memoryMaxBytes === undefined) return undefined
  return Math.max(HEAP_MIN_MIB, Math.floor(spec.memoryMaxBytes / 1_048_576))
}

/** The remedy for a full heap, to be appended to a sentence. `limitMiB` is the result of heapLimitMiB. */
export function heapRemedy(worker: string, limitMiB: number | undefined): string {
  return limitMiB === undefined
    ? ". The limit was V8's default. Set another with memoryMax"
    : ` (limit ${limitMiB} MiB, from memoryMax). Raise it, or find what the heap retains: byre profile ${worker} --heap`
}
