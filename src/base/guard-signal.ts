// The word between the import guard (a preload, byre/guard) and what knows when a program is ready. Neither imports the
// other: the guard may be absent, and then this costs one property read.

/** Where the guard of this thread is found on globalThis. */
export const GUARD_SYMBOL: unique symbol = Symbol.for('byre.guard') as never

/** Tells the guard, if there is one, that lazy imports may pass from now on. Idempotent; never throws. */
export function liftGuard(): void {
  ;(globalThis as { [GUARD_SYMBOL]?: { ready(): void } })[GUARD_SYMBOL]?.ready()
}
