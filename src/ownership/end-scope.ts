// Ends what the code of a scope has opened.

import { closeHandles } from './handles.ts'
import { endProcessUse } from './process-events.ts'
import type { RunScope } from './run-scope.ts'
import { isAttached } from './wrap-events.ts'
import { removeTargetListeners } from './wrap-targets.ts'
import { clearLeakedTimers } from './wrap-timers.ts'

/** Names of what was open; at most 20 of each kind. */
export interface ClosedInScope {
  readonly timers: readonly string[]
  readonly listeners: readonly string[]
  readonly servers: readonly string[]
  /** Sockets, requests, threads, watchers, ports. */
  readonly handles: readonly string[]
}

const NAMED_MAX = 20

/** Closes what the code of `scope` has left open and returns its names. What that code opens later is closed at once. */
export function endScope(scope: RunScope): ClosedInScope {
  scope.ended = true
  // Listeners first: closing a handle must not call them.
  const listeners = [
    ...endProcessUse(scope),
    ...removeForeignListeners(scope),
    ...removeTargetListeners(scope),
  ]
  const timers = clearLeakedTimers(scope)
  return {
    timers: timers.slice(0, NAMED_MAX),
    listeners: listeners.slice(0, NAMED_MAX),
    ...closeHandles(scope),
  }
}

function removeForeignListeners(scope: RunScope): string[] {
  const left = (scope.foreignListeners ?? []).filter(isAttached)
  scope.foreignListeners = undefined
  for (const entry of left) entry.remove()
  return left.map(({ name, event }) => `${name}.on('${String(event)}')`)
}
