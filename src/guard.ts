// Entry 'byre/guard': the import guard, a preload. `node --import byre/guard app.js` (or -r) with BYRE_GUARD=byre.floor.json
// hooks the module loaders at import.

import { guardFromEnvironment } from './audit/guard.ts'
import { GUARD_SYMBOL, liftGuard } from './base/guard-signal.ts'

const guard = guardFromEnvironment(process.env, process.argv[1])
if (guard !== undefined) Object.defineProperty(globalThis, GUARD_SYMBOL, { value: guard, configurable: true })

/** Lifts the guard of this thread: from now on every import is allowed. Does nothing without BYRE_GUARD. byre calls it
 *  itself when the herd is ready (`supervise`, `run`), and in a worker's thread or process when the worker is ready. */
export function markReady(): void {
  liftGuard()
}
