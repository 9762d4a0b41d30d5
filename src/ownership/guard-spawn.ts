// Refuses cluster.fork(): node:cluster forks the program of the process, which in the shared loop is the supervisor.

import { refusal } from './override.ts'
import { currentScope } from './run-scope.ts'

interface SpawnOptions {
  readonly envPairs?: readonly string[]
}
/** Without options, or with other values in them, Node throws its own error. */
type Spawn = (this: object, options: SpawnOptions | null | undefined) => unknown

const guarded = new WeakSet<object>()

/** Guards ChildProcess.prototype, found through its first instance, so that node:child_process need not be loaded (0.4 MB). */
export function guardSpawn(child: object): void {
  const prototype = Object.getPrototypeOf(child) as { spawn: Spawn }
  if (guarded.has(prototype)) return
  guarded.add(prototype)
  const { spawn } = prototype
  prototype.spawn = function (options) {
    const scope = currentScope()
    if (scope !== undefined && isClusterWorker(options))
      throw refusal(
        scope,
        'cluster.fork',
        'fork a cluster',
        `Use 'script:' with placement 'process', or one worker per process.`,
      )
    return spawn.call(this, options)
  }
}

/** cluster.fork() numbers its children in their environment (lib/internal/cluster/primary.js). */
function isClusterWorker(options: SpawnOptions | null | undefined): boolean {
  const envPairs: unknown = options?.envPairs
  return Array.isArray(envPairs) && envPairs.some((pair) => String(pair).startsWith('NODE_UNIQUE_ID='))
}
