// A worker's async hooks see the resources of that worker only. Node calls a hook for every resource of the process: a hook of
// one worker would see the handles and promises of its siblings and of byre, and what it throws would end the process.

import asyncHooks from 'node:async_hooks'
import type { AsyncHook, HookCallbacks } from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

type CreateHook = (callbacks: HookCallbacks) => AsyncHook

/** Replaces async_hooks.createHook for workers; returns its undo. */
export function guardHooks(): () => void {
  const module = asyncHooks as { createHook: CreateHook }
  const original = module.createHook
  const replacement: CreateHook = (callbacks) => {
    const scope = currentScope()
    // What is not an object Node refuses itself.
    return original(
      scope === undefined || Object(callbacks) !== callbacks ? callbacks : onlyOf(scope, callbacks),
    )
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
 * context, which decides; `destroy` is called outside of it, so with that callback the ids are kept until then.
 */
function onlyOf({ worker }: RunScope, callbacks: HookCallbacks): HookCallbacks {
  const isOwn = (): boolean => currentScope()?.worker === worker
  const { init, before, after, destroy, promiseResolve } = callbacks
  const own = destroy === undefined ? undefined : new Set<number>()
  const needsInit = init !== undefined || own !== undefined
  return {
    ...callbacks,
    ...(needsInit && {
      init(id: number, type: string, triggerId: number, resource: object) {
        if (!isOwn()) return
        own?.add(id)
        init?.call(this, id, type, triggerId, resource)
      },
    }),
    ...(before && {
      before(id: number) {
        if (isOwn()) before.call(this, id)
      },
    }),
    ...(after && {
      after(id: number) {
        if (isOwn()) after.call(this, id)
      },
    }),
    ...(destroy && {
      destroy(id: number) {
        if (own?.delete(id) === true) destroy.call(this, id)
      },
    }),
    ...(promiseResolve && {
      promiseResolve(id: number) {
        if (isOwn()) promiseResolve.call(this, id)
      },
    }),
  }
}
