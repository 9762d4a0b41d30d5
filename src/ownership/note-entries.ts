// The turns of the loop that go straight into a worker's code: callbacks of timers, of the file system, of sockets.
// Continuations of promises are part of the turn that resolved them.

import { createHook, executionAsyncResource } from 'node:async_hooks'
import type { HookCallbacks } from 'node:async_hooks'
import { currentScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'

/**
 * Calls `note` at the begin of each turn with the run whose code it enters, if any; returns the undo. On Node 20 and 22 it
 * costs each promise 10 to 20 ns as well.
 */
export function eachTurn(note: (scope: RunScope | undefined) => void): () => void {
  const callbacks: HookCallbacks & { readonly trackPromises: false } = {
    before() {
      if (!(executionAsyncResource() instanceof Promise)) note(currentScope())
    },
    // Node 24 and later leave promises alone with it; Node 20 and 22 do not know it.
    trackPromises: false,
  }
  const hook = createHook(callbacks).enable()
  return () => hook.disable()
}
