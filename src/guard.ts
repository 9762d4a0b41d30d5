// Entry "byre/guard": `node --import byre/guard app.js` (or -r) with BYRE_GUARD=byre.floor.json. Importing this module
// hooks the module loaders of the thread.

import { guardFromEnvironment } from './audit/guard.ts'
import { GUARD_SYMBOL, liftGuard } from './base/guard-signal.ts'

const guard = guardFromEnvironment(process.env, process.argv[1])
if (guard !== undefined) Object.defineProperty(globalThis, GUARD_SYMBOL, { value: guard, configurable: true })

/** Lifts the guard of this thread: from now on every module may be loaded. Without BYRE_GUARD it does nothing. byre
 *  calls it when the herd is ready (`supervise`, `run`), and in a worker's thread or process when that worker is
 *  ready. */
export function markReady(): void {
  liftGuard()
}
