// Turns of the event loop, shared out: a consumer that awaits nothing but its messages, and a publisher that awaits
// nothing but its publishes, go on from microtask to microtask and would hold the loop for as long as there are any.
// So whoever has had its slice of this turn is held until the next one: timers, sockets, signals and siblings come first.

// Taken at import: the supervisor wraps timers while it hosts workers.
const { setImmediate: hostSetImmediate } = globalThis

/** What all deliveries of one turn may take together before the loop goes round, ms. The handler in which it ends comes
 *  on top, or a few: code is not interrupted, and while handlers are quick the clock is read for every eighth only. */
export const SLICE_MS = 10
const QUICK_MS = 0.5
const QUICK_CALLS = 8

let armed = false
let over = false
let begunAt = 0
let readAt = 0
/** Calls until the clock is read again. */
let unread = 0
/** Those held until the next turn, oldest first. */
let held: (() => void)[] = []
let next: Promise<void> | undefined

/** True when the slice of this turn is used up. The first call of a turn begins it. */
export function turnIsOver(): boolean {
  if (!armed) {
    armed = true
    unread = 1
    begunAt = readAt = performance.now()
    hostSetImmediate(begin)
    return false
  }
  if (over || --unread > 0) return over
  const now = performance.now()
  unread = now - readAt < QUICK_MS ? QUICK_CALLS : 1
  readAt = now
  over = now - begunAt >= SLICE_MS
  return over
}

/** Calls `fn` in the next turn, after those who asked before. For use once `turnIsOver`. `fn` must not throw. */
export function inNextTurn(fn: () => void): void {
  held.push(fn)
}

/** Resolves in the next turn. For use once `turnIsOver`. */
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
