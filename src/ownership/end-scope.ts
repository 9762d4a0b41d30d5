// Ends what the code of a scope has opened.

import { closeHandles } from './handles.ts'
import type { ClosedHandles } from './handles.ts'
import { endProcessUse } from './process-events.ts'
import { runInScope } from './run-scope.ts'
import type { RunScope } from './run-scope.ts'
import { isAttached, removeForeign } from './wrap-events.ts'
import { removeTargetListeners } from './wrap-targets.ts'
import { clearTimers } from './wrap-timers.ts'

/** Names of what was open; at most 20 of each kind. */
export interface ClosedInScope {
  readonly timers: readonly string[]
  readonly listeners: readonly string[]
  readonly servers: readonly string[]
  /** Sockets, requests, threads, watchers, ports. */
  readonly handles: readonly string[]
  /** There were child processes, which are reported elsewhere. */
  readonly children: boolean
}

const NAMED_MAX = 20

/** Time for which closing may hold the loop in one turn, ms. */
const SLICE_MS = 10
/** So many are closed and named at once, however busy the machine is. */
const STEPS_MIN = 100

/**
 * Closes what the code of `scope` has left open and returns its names. What that code opens later is closed at once. Where there
 * is very much, the rest is closed, and not named, in the next turns of the loop.
 */
export function endScope(scope: RunScope): ClosedInScope {
  scope.ended = true
  // Listeners first: closing a handle must not call them.
  const listeners = [
    ...endProcessUse(scope),
    ...removeForeignListeners(scope),
    ...removeTargetListeners(scope),
  ]
  const timers: string[] = []
  const handles: ClosedHandles = { servers: [], handles: [], children: false }
  const closing = closeHandles(scope, handles)
  closing.next() // closes the servers
  inSlices(chain(clearTimers(scope, timers), closing))
  return {
    timers: [...timers],
    listeners: listeners.slice(0, NAMED_MAX),
    servers: [...handles.servers],
    handles: [...handles.handles],
    children: handles.children,
  }
}

function* chain(...all: readonly Generator<void>[]): Generator<void> {
  for (const each of all) yield* each
}

function inSlices(steps: Generator<void>): void {
  const slice = (): void => {
    const until = performance.now() + SLICE_MS
    for (let step = 0; steps.next().done !== true; step++) {
      if (step < STEPS_MIN || performance.now() < until) continue
      setImmediate(slice)
      return
    }
  }
  runInScope(undefined, slice)
}

function removeForeignListeners(scope: RunScope): string[] {
  const left = (scope.foreignListeners ?? []).filter(isAttached)
  scope.foreignListeners = undefined
  left.forEach(removeForeign)
  return left.map(({ name, event }) => `${name}.on('${String(event)}')`)
}
