// Connects the import guard (a preload, byre/guard) with the code that knows when a program is ready. Neither imports
// the other, since the guard may be absent. Without a guard this costs one property read.

/** The property of globalThis that holds the guard of this thread. */
export const GUARD_SYMBOL: unique symbol = Symbol.for('byre.guard') as never

/** Makes the guard, if there is one, allow lazy imports from now on. Idempotent. Never throws. */
export function liftGuard(): void {
  ;(globalThis as { [GUARD_SYMBOL]?: { ready(): void } })[GUARD_SYMBOL]?.ready()
}
