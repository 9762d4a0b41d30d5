// Entry "byre/guard": `node --import byre/guard app.js` (or -r) with BYRE_GUARD=byre.floor.json. A preload: importing it
// hooks the loaders, which is what it is for.

import { GUARD_SYMBOL, guardFromEnvironment, type Guard } from './audit/guard.ts'

const guard = guardFromEnvironment(process.env, process.argv[1])
if (guard !== undefined) Object.defineProperty(globalThis, GUARD_SYMBOL, { value: guard, configurable: true })

/** Lifts the guard of this thread: from now on everything may be loaded. Nothing without BYRE_GUARD. */
export function markReady(): void {
  ;(globalThis as { [GUARD_SYMBOL]?: Guard })[GUARD_SYMBOL]?.ready()
}
