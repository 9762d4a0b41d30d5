// Tells the breadcrumb of every turn of the loop that goes straight into a worker's code: callbacks of timers, of the
// file system, of sockets. Continuations of promises are part of the turn that resolved them.

import { createHook, executionAsyncResource } from 'node:async_hooks'
import type { HookCallbacks } from 'node:async_hooks'
import { currentScope, noteEntry } from './run-scope.ts'

/** Starts noting; returns its undo. */
export function noteEntries(): () => void {
  const callbacks: HookCallbacks & { readonly trackPromises: false } = {
    before() {
      const scope = currentScope()
      if (scope === undefined || executionAsyncResource() instanceof Promise) return
      noteEntry(scope)
    },
    // Without it Node 24 and later pay 60 ns for each await; Node 20 and 22 do not know it and pay 10 to 20.
    trackPromises: false,
  }
  const hook = createHook(callbacks).enable()
  return () => hook.disable()
}
