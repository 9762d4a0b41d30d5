// What byre replaces in ChildProcess.prototype.spawn, through which spawn, exec, execFile and fork go: a child is reported to the
// run that starts it, a stdout or stderr that it would inherit becomes that of the worker, and cluster.fork() is refused,
// because node:cluster forks the program of the process, which in the shared loop is the supervisor.

import { silence } from './close-handle.ts'
import { noteUse, share } from './handles.ts'
import { replaceInherited } from './inherited-stdio.ts'
import { refusal } from './override.ts'
import { currentScope, isRunning, SHARED } from './run-scope.ts'
import type { ChildrenSink, Close, RunningChild, RunScope } from './run-scope.ts'
import { makerOf } from './stamp.ts'

interface SpawnOptions {
  readonly envPairs?: readonly string[]
  readonly stdio?: unknown
  readonly detached?: unknown
}
/** Without options, or with other values in them, Node throws its own error. */
type Spawn = (this: Child, options: SpawnOptions | null | undefined) => unknown

type Method = (this: object, ...args: unknown[]) => unknown

/** The members of Node's ChildProcess that byre uses. */
interface Child extends RunningChild {
  readonly spawnfile?: string
  readonly stdio?: readonly ({ destroy(): void } | null | undefined)[]
  /** Only with a channel. */
  send?: Method
}

const guarded = new WeakSet<object>()

/** Guards ChildProcess.prototype, found through its first instance, so that node:child_process need not be loaded (0.4 MB).
 *  Returns whether `handle` is a ChildProcess. */
export function guardSpawn(handle: object): boolean {
  const prototype = nodesPrototype(handle)
  if (prototype === undefined) return false
  if (guarded.has(prototype)) return true
  guarded.add(prototype)
  const { spawn } = prototype
  prototype.spawn = function (options) {
    const scope = currentScope()
    if (scope === undefined) return spawn.call(this, options)
    if (isClusterWorker(options))
      throw refusal(
        scope,
        'cluster.fork',
        'fork a cluster',
        `Use 'script:' with placement 'process', or one worker per process.`,
      )
    const { children } = scope.sink
    if (children === undefined) return spawn.call(this, options)
    const detached = Boolean(options?.detached)
    // A detached child may outlive the process, which would leave its pipe without a reader: it inherits as in Node.
    const result = spawn.call(this, detached ? options : withOwnOutput(options, children))
    if (wasStarted(this)) {
      children.started(this, detached)
      watchSend(this)
    }
    return result
  }
  return true
}

/** Not that of a class of a program with a method `spawn`. */
function nodesPrototype(handle: object): { spawn: Spawn } | undefined {
  for (
    let prototype = Object.getPrototypeOf(handle) as object | null;
    prototype !== null;
    prototype = Object.getPrototypeOf(prototype) as object | null
  )
    if (prototype.constructor?.name === 'ChildProcess' && Object.hasOwn(prototype, 'spawn'))
      return prototype as { spawn: Spawn }
  return undefined
}

/** cluster.fork() numbers its children in their environment (lib/internal/cluster/primary.js). */
function isClusterWorker(options: SpawnOptions | null | undefined): boolean {
  const envPairs: unknown = options?.envPairs
  return Array.isArray(envPairs) && envPairs.some((pair) => String(pair).startsWith('NODE_UNIQUE_ID='))
}

function withOwnOutput(
  options: SpawnOptions | null | undefined,
  { outputFds }: ChildrenSink,
): SpawnOptions | null | undefined {
  if (outputFds === undefined || typeof options !== 'object' || options === null) return options
  const stdio = replaceInherited(options.stdio, outputFds)
  return stdio === options.stdio ? options : { ...options, stdio }
}

function wasStarted({ pid }: { readonly pid?: number }): boolean {
  return typeof pid === 'number' && pid > 0
}

/** send() is no method of the prototype, where handles.ts replaces the others. */
function watchSend(child: Child): void {
  const { send } = child
  if (send === undefined) return
  child.send = function (...args) {
    noteUse(this)
    return send.apply(this, args)
  }
}

/** Ends a child of `owner` that runs. A package may keep one child for all workers that import it: one to which another worker
 *  has written or sent a message stays. */
export function closeChild(owner: RunScope): Close {
  return (handle, late) => {
    const child = handle as Child
    if (!wasStarted(child) || !isRunning(child)) return undefined
    const streams = (child.stdio ?? []).filter((stream) => stream !== null && stream !== undefined)
    if (streams.some((stream) => makerOf(stream) === SHARED)) {
      for (const each of [child, ...streams]) share(each)
      return undefined
    }
    if (late) silence(child)
    owner.sink.children?.end(child, late)
    for (const stream of streams) stream.destroy() // as at the end of a process
    return { kind: 'children', name: `child process ${child.pid} (${child.spawnfile})` }
  }
}
