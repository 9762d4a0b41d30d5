// Limits how long bus deliveries run in one turn of the event loop. A consumer that awaits only messages, and a publisher
// that awaits only its publishes, continue from microtask to microtask and would block the loop while messages arrive.
// Once the time slice of a turn is used up they are held until the next turn, so that timers, sockets, signals and other
// workers run first.

import { runOutside } from '../base/outside.ts'

// Captured at import: the supervisor wraps timers while it hosts workers.
const { setImmediate: hostSetImmediate } = globalThis

/** Time for all deliveries of one turn, ms. The handlers that run when it ends come on top: code is not interrupted, and
 *  while handlers are quick only every eighth call reads the clock. */
export const SLICE_MS = 10
const QUICK_MS = 0.5
const QUICK_CALLS = 8

let armed = false
let over = false
let startedAt = 0
let readAt = 0
/** Calls until the clock is read again. */
let callsLeft = 0
/** Callbacks held until the next turn, oldest first. */
let held: (() => void)[] = []
let next: Promise<void> | undefined

/** Whether the time slice of this turn is used up. The first call of a turn starts the slice. */
export function turnIsOver(): boolean {
  if (!armed) {
    armed = true
    callsLeft = 1
    startedAt = readAt = performance.now()
    runOutside(() => hostSetImmediate(begin))
    return false
  }
  if (over || --callsLeft > 0) return over
  const now = performance.now()
  callsLeft = now - readAt < QUICK_MS ? QUICK_CALLS : 1
  readAt = now
  over = now - startedAt >= SLICE_MS
  return over
}

/** Calls `fn` in the next turn, after earlier callbacks. For use when `turnIsOver()` is true. `fn` must not throw. */
export function inNextTurn(fn: () => void): void {
  held.push(fn)
}

/** Resolves in the next turn. For use when `turnIsOver()` is true. */
export function nextTurn(): Promise<void> {
  return (next ??= new Promise((resolve) => inNextTurn(resolve)))
}

function begin(): void {
  armed = over = false
  next = undefined
  if (held.length === 0) return
  const due = held
  held = []
  for (const fn of due) fn()
}
