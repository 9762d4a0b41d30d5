// Tells the breadcrumb of every turn of the loop that goes straight into a worker's code: callbacks of timers, of the
// file system, of sockets. Continuations of promises are part of the turn that resolved them.

import { createHook, executionAsyncResource } from 'node:async_hooks'
import type { HookCallbacks } from 'node:async_hooks'
import type { Scheduler } from '../../base/scheduler.ts'
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

/** Entries are noted from this long after the start at the latest. */
const LATEST_MS = 10_000

/**
 * Notes entries from `begin()` on, or 10 s from now: not while a herd starts, since it costs each turn of the loop a
 * little and loading modules takes thousands of them; what loads is in the breadcrumb anyway.
 */
export function noteEntriesOnceUp(scheduler: Scheduler): { begin(): void; end(): void } {
  let undo: (() => void) | undefined
  const begin = (): void => {
    timer.cancel()
    undo ??= noteEntries()
  }
  const timer = scheduler.after(LATEST_MS, begin)
  return {
    begin,
    end() {
      timer.cancel()
      undo?.()
    },
  }
}
