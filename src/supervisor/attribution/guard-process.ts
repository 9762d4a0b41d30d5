// What a worker does to the process it shares: refused, undone, kept to the worker, or named. One entry per hazard.

import type { EventEmitter } from 'node:events'
import { ByreError } from '../../base/errors.ts'
import { currentScope, noteEntry } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type AnyFunction = (...args: never[]) => unknown

/** Finds a run for code outside every async context, by its stack. */
export type OwnerByStack = (error: Error) => RunScope | undefined

/** Thrown by the trapped process.exit; never meant to be caught. */
export class ExitTrap extends ByreError {
  constructor(code: number) {
    super(
      'BYRE_PROCESS_EXIT',
      `process.exit(${code}) ends this worker only: it shares its process with others`,
    )
  }
}

export interface ProcessGuardOptions {
  readonly ownerByStack: OwnerByStack
  /** process.exit that no worker can be charged with. */
  readonly onUnattributedExit: (code: number, stack: string | undefined) => void
  /** Last words before process.abort really ends the process. */
  readonly beforeAbort: (scope: RunScope | undefined) => void
}

/** Installs every guard; returns their undo. */
export function guardProcess(options: ProcessGuardOptions): () => void {
  const undos = [
    trapExit(options),
    nameAbort(options),
    refuseChdir(),
    keepTitle(),
    ownEnvironment(),
    keepListeners(),
  ]
  return () => {
    for (const undo of undos.reverse()) undo()
  }
}

/** Tells the scope's runner once per kind and run. */
export function touch(scope: RunScope, kind: string, what: string): void {
  if (scope.touchedKinds.has(kind)) return
  scope.touchedKinds.add(kind)
  scope.sink.touched(kind, what)
}

function override(name: string, value: unknown): () => void {
  const original = Object.getOwnPropertyDescriptor(process, name)
  const inherited = original === undefined
  Object.defineProperty(process, name, { value, configurable: true, writable: true, enumerable: true })
  return () => {
    if (inherited) delete (process as unknown as Record<string, unknown>)[name]
    else Object.defineProperty(process, name, original)
  }
}

/** First abort the signal, then throw: a run that swallows the throw is stopped all the same. */
function trapExit(options: ProcessGuardOptions): () => void {
  return override('exit', (code?: number | string) => {
    const status = Number(code ?? process.exitCode ?? 0) || 0
    const trap = new ExitTrap(status)
    const scope = currentScope() ?? options.ownerByStack(trap)
    if (scope === undefined) options.onUnattributedExit(status, trap.stack)
    else {
      const repeated = scope.exitCode !== undefined
      scope.exitCode ??= status
      scope.sink.exitCalled(status, repeated)
    }
    throw trap
  })
}

/** Out of reach: it ends the process. The breadcrumb names who called it. */
function nameAbort(options: ProcessGuardOptions): () => void {
  const original = process.abort.bind(process)
  return override('abort', () => {
    options.beforeAbort(currentScope() ?? options.ownerByStack(new Error('process.abort')))
    original()
  })
}

/** As in a worker thread: the folder belongs to the process, so changing it is an error and not a surprise for others. */
function refuseChdir(): () => void {
  const original = process.chdir.bind(process)
  return override('chdir', (directory: string) => {
    const scope = currentScope()
    if (scope === undefined) return original(directory)
    touch(scope, 'chdir', `process.chdir('${directory}') refused`)
    throw new ByreError(
      'BYRE_PROCESS_SHARED',
      `Cannot change directory to '${directory}' in worker '${scope.worker}': it shares its process with others. ` +
        `Use absolute paths, or placement 'process' with 'cwd'.`,
    )
  })
}

/** The title names the herd; a worker keeps its own idea of it. */
function keepTitle(): () => void {
  const original = Object.getOwnPropertyDescriptor(process, 'title')
  if (original === undefined) return () => {}
  const titles = new WeakMap<RunScope, string>()
  Object.defineProperty(process, 'title', {
    configurable: true,
    enumerable: true,
    get: () => {
      const scope = currentScope()
      return (
        (scope === undefined ? undefined : titles.get(scope)) ??
        (original.get?.call(process) as string) ??
        original.value
      )
    },
    set: (title: string) => {
      const scope = currentScope()
      if (scope === undefined) {
        original.set?.call(process, title)
        return
      }
      titles.set(scope, String(title))
      touch(scope, 'title', `process.title = '${title}' kept to the worker`)
    },
  })
  return () => Object.defineProperty(process, 'title', original)
}

/** A worker sees its own writes to process.env; nobody else does, and they end with the run. */
function ownEnvironment(): () => void {
  const real = process.env
  const overlayOf = (): Map<string, string | undefined> | undefined => currentScope()?.envOverlay
  const write = (key: string | symbol, value: string | undefined): boolean => {
    const scope = currentScope()
    if (scope === undefined || typeof key === 'symbol') {
      return value === undefined ? Reflect.deleteProperty(real, key) : Reflect.set(real, key, value)
    }
    scope.envOverlay ??= new Map()
    scope.envOverlay.set(key, value)
    touch(scope, 'env', `process.env.${key} kept to the worker`)
    return true
  }
  const read = (key: string | symbol): string | undefined => {
    const overlay = overlayOf()
    if (overlay !== undefined && typeof key === 'string' && overlay.has(key)) return overlay.get(key)
    return Reflect.get(real, key) as string | undefined
  }
  const keys = (): (string | symbol)[] => {
    const all = new Set(Reflect.ownKeys(real))
    for (const [key, value] of overlayOf() ?? []) {
      if (value === undefined) all.delete(key)
      else all.add(key)
    }
    return [...all]
  }
  // The proxy's target is an empty object: an overlaid key must not clash with the target's own descriptors.
  const proxy = new Proxy({} as NodeJS.ProcessEnv, {
    get: (_, key) => read(key),
    set: (_, key, value) => write(key, String(value)),
    defineProperty: (_, key, descriptor) => write(key, String(descriptor.value)),
    deleteProperty: (_, key) => write(key, undefined),
    has: (_, key) => read(key) !== undefined,
    ownKeys: keys,
    getOwnPropertyDescriptor: (_, key) => {
      const value = read(key)
      return value === undefined ? undefined : { value, writable: true, enumerable: true, configurable: true }
    },
  })
  return override('env', proxy)
}

const OFF_LIMITS = new Set([
  'uncaughtException',
  'unhandledRejection',
  'uncaughtExceptionMonitor',
  'rejectionHandled',
  'multipleResolves',
])

/** Signal and error handlers of the process are byre's: a worker's are not attached, and it removes only its own. */
function keepListeners(): () => void {
  const host = process as unknown as Record<string, AnyFunction>
  const undos: (() => void)[] = []
  for (const method of ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener']) {
    const original = host[method] as (this: unknown, event: string | symbol, listener: AnyFunction) => unknown
    undos.push(
      override(method, function (this: unknown, event: string | symbol, listener: AnyFunction) {
        const scope = currentScope()
        if (scope === undefined || typeof event !== 'string' || !isProcessWide(event))
          return original.call(process, event, listener)
        touch(
          scope,
          `on:${event}`,
          `process.on('${event}') not attached: use ctx.signal, or placement 'process'`,
        )
        return process
      }),
    )
  }
  const removeAll = process.removeAllListeners.bind(process)
  undos.push(
    override('removeAllListeners', (event?: string | symbol) => {
      const scope = currentScope()
      if (scope === undefined) return event === undefined ? removeAll() : removeAll(event)
      noteEntry(scope)
      touch(
        scope,
        'removeAllListeners',
        `process.removeAllListeners(${event === undefined ? '' : `'${String(event)}'`}) removed only the worker's own`,
      )
      for (const entry of scope.foreignListeners) {
        if ((entry.emitter.deref() as EventEmitter | undefined) !== process) continue
        if (event === undefined || entry.event === event) entry.remove()
      }
      return process
    }),
  )
  return () => {
    for (const undo of undos) undo()
  }
}

function isProcessWide(event: string): boolean {
  return /^SIG[A-Z0-9]+$/.test(event) || OFF_LIMITS.has(event)
}
