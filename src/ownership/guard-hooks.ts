// A worker's async hooks see the resources of that worker only. Node calls a hook for every resource of the process: a hook of
// one worker would see the handles and promises of its siblings and of byre, and what it throws would end the process.

import asyncHooks from 'node:async_hooks'
import type { AsyncHook, HookCallbacks } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { ownerOfRare } from './evaluation.ts'
import { currentScope, runInScope, strayIn } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type CreateHook = (callbacks: HookCallbacks) => AsyncHook
type OfResource = ((this: unknown, id: number) => void) | undefined
interface Callbacks {
  readonly init:
    | ((this: unknown, id: number, type: string, triggerId: number, resource: object) => void)
    | undefined
  readonly before: OfResource
  readonly after: OfResource
  readonly destroy: OfResource
  readonly promiseResolve: OfResource
}

/** Hooks of one run that are disabled when it ends. */
const HOOKS_MAX = 1000
const CALLER_LINE = 2
/** Ids that a hook remembers; without `destroy` nothing shows when a resource is gone. */
const IDS_MAX = 100_000

function isNodes(stack: string | undefined): boolean {
  return stack?.split('\n')[CALLER_LINE]?.includes('node:') === true
}

/** Replaces async_hooks.createHook for workers; returns its undo. */
export function guardHooks(): () => void {
  const module = asyncHooks as { createHook: CreateHook }
  const original = module.createHook
  const replacement: CreateHook = (callbacks) => {
    const current = currentScope()
    const scope = current === undefined ? undefined : ownerOfRare(current)
    // Node throws for callbacks that are not an object. A module that Node evaluates once for all, as node:domain, serves all.
    if (scope === undefined || Object(callbacks) !== callbacks || isNodes(new Error().stack))
      return original(callbacks)
    const hook = original(onlyOf(scope, callbacks))
    const hooks = (scope.hooks ??= [])
    if (hooks.length < HOOKS_MAX) hooks.push(hook)
    return hook
  }
  module.createHook = replacement
  syncBuiltinESMExports()
  return () => {
    if (module.createHook === replacement) module.createHook = original
    syncBuiltinESMExports()
  }
}

/**
 * `callbacks` that are called for resources of the worker of `scope`. A resource is created and entered in its worker's
 * context, which decides. Where there is none, as for the handle of an incoming connection and for `destroy`, the resource
 * belongs to the worker if the one that triggered it does: so the last ids are remembered. `destroy` is never added to a hook
 * that has none: with it Node tracks the end of every promise, which makes an await 6 times as long (Node 20).
 */
function onlyOf(scope: RunScope, callbacks: HookCallbacks): HookCallbacks {
  const { worker } = scope
  /**
   * Outside every context nothing would show whose hook has thrown, and Node would end the process. The entry is not noted:
   * a note schedules work, which creates resources, for which Node would call the hook again without end.
   */
  const call = (fn: () => void): void => {
    if (currentScope() !== undefined) return fn()
    try {
      runInScope(scope, fn)
    } catch (error) {
      strayIn(scope, error, 'async hook')
    }
  }
  const { init, before, after, destroy, promiseResolve } = callbacks as Callbacks
  /** Oldest first. A promise always has a context, so its id is needed for `destroy` alone. */
  const own = new Set<number>()
  const remember = (id: number, type: string): void => {
    if (type === 'PROMISE' && destroy === undefined) return
    if (own.size >= IDS_MAX) own.delete(own.values().next().value as number)
    own.add(id)
  }
  const belongs = (id: number): boolean => {
    const current = currentScope()
    return current === undefined ? own.has(id) : current.worker === worker
  }
  // Node throws for a callback that is not a function.
  return {
    ...callbacks,
    ...(isOptional(init) && {
      init(id: number, type: string, triggerId: number, resource: object) {
        if (!belongs(triggerId)) return
        remember(id, type)
        call(() => init?.call(this, id, type, triggerId, resource))
      },
    }),
    ...(typeof before === 'function' && {
      before(id: number) {
        if (belongs(id)) call(() => before.call(this, id))
      },
    }),
    ...(typeof after === 'function' && {
      after(id: number) {
        if (belongs(id)) call(() => after.call(this, id))
      },
    }),
    ...(typeof destroy === 'function' && {
      destroy(id: number) {
        if (own.delete(id)) call(() => destroy.call(this, id))
      },
    }),
    ...(typeof promiseResolve === 'function' && {
      promiseResolve(id: number) {
        if (belongs(id)) call(() => promiseResolve.call(this, id))
      },
    }),
  }
}

function isOptional<T>(callback: T | undefined): boolean {
  return callback === undefined || typeof callback === 'function'
}
