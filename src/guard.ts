// Entry "byre/guard": `node --import byre/guard app.js` (or -r) with BYRE_GUARD=byre.floor.json. A preload: importing it
// hooks the loaders, which is what it is for.

import { guardFromEnvironment } from './audit/guard.ts'
import { GUARD_SYMBOL, liftGuard } from './base/guard-signal.ts'

const guard = guardFromEnvironment(process.env, process.argv[1])
if (guard !== undefined) Object.defineProperty(globalThis, GUARD_SYMBOL, { value: guard, configurable: true })

/** Lifts the guard of this thread: from now on everything may be loaded. Nothing without BYRE_GUARD. byre calls it
 *  itself: when the herd is ready under `supervise` and `run`, when the worker is in a thread or process of its own. */
export function markReady(): void {
  liftGuard()
}
