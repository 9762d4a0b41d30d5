// What a process of a worker is started with: its command line and its environment. A script is started as `node script`
// and sees nothing of byre, unless its config asks for it.

import { fileURLToPath } from 'node:url'
import { ByreError } from '../base/errors.ts'
import { mallocSetting } from '../base/malloc.ts'
import { ownFile } from '../base/own-files.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { childEnvironment, heapLimitMiB } from './child-settings.ts'
import { startNote } from './wire/start-note.ts'
import type { StartNote } from './wire/start-note.ts'

const ENTRY = fileURLToPath(ownFile('placement/child/process-entry.js'))
const PRELOAD = fileURLToPath(ownFile('placement/child/script-preload.js'))

/** A wire to byre's code in the process is there: always for a module, for a script with `inside`. */
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

/** Throws BYRE_UNSUPPORTED where node's --require takes no ES modules. */
function preloadOf({ inside }: ResolvedWorker): string[] {
  if (inside !== true) return []
  if ((process.features as { require_module?: boolean }).require_module !== true)
    throw new ByreError(
      'BYRE_UNSUPPORTED',
      `'inside' needs Node 20.19, 22.12 or a later version, got ${process.version}. Remove it, or take another Node.`,
    )
  return [`--require=${PRELOAD}`]
}

/** `note`: for byre's code in it, if there is any. */
export function environment(spec: ResolvedWorker, note: StartNote | undefined): NodeJS.ProcessEnv {
  const env = childEnvironment(spec)
  return {
    ...env,
    ...(spec.lean === true ? mallocFor(spec, env) : {}),
    ...(note === undefined ? {} : startNote(note)),
  }
}

/** A setting of the worker's own stays, as units/byre leaves a user's. */
function mallocFor({ source }: ResolvedWorker, env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  if (env['MALLOC_MMAP_THRESHOLD_'] !== undefined || env['GLIBC_TUNABLES'] !== undefined) return {}
  const { BYRE_MALLOC: mark, ...setting } = mallocSetting()
  // The mark has byre's code in a module's process take the setting out again; in a script nobody does.
  return source.kind === 'script' || mark === undefined ? setting : { ...setting, BYRE_MALLOC: mark }
}

/** Flags that decide what a module's code is and says: they hold wherever the module lives. */
const OF_CODE = /^(?:--(?:enable-source-maps|conditions|import|require|no-warnings|trace-)|-[Cr]$)/
/** Flags that take memory off a process. */
const OF_MEMORY = /^--max-semi-space-size/
/** Of these, the ones whose value may be the next argument: `--import x` and `--import=x` are one. */
const TAKES_VALUE = /^(?:--(?:max-semi-space-size|conditions|import|require)|-[Cr])$/

/** Of the supervisor's node flags, those that are for this worker as well. */
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
