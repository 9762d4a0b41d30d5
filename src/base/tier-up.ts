// Keeps V8's optimising compilers away from a herd that starts. Its code is hot for that moment and never again, but
// Maglev and TurboFan compile it all the same: on the second core or, where that is taken, on the loop's, and in small
// pieces of malloc's heap, of which glibc keeps the holes. Not off: a worker that computes while it starts is optimised
// a little later, on Node 24 and newer its loops as early as ever (on-stack replacement does not count calls).
//
// V8 asks for these values at each decision (TieringManager::ShouldOptimize), so that nothing is left of them once they
// are undone. Not so --interrupt-budget and --invocation-count-for-maglev: of those a function called before has its
// budget, and is slow until that is used up. Node keeps V8's flags unfrozen for v8.setFlagsFromString. Figures: RELEASE.md.

import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'

interface Tiering {
  /** V8's own value, since there is no way to ask for it, and the one for the start. */
  readonly flags: Readonly<Record<string, readonly [own: number, start: number]>>
  /** For herds of so many workers and more. */
  readonly workers: number
}

/** V8 11.3: so many ticks of 66 KiB of bytecode, and small functions no earlier than the rest. */
const TICKS: Tiering = {
  flags: { 'ticks-before-optimization': [3, 60], 'max-bytecode-size-for-early-opt': [81, 0] },
  workers: 1,
}
/** V8 13.6 and newer: so many calls. While a flag is not what node was built with, node compiles each module of its own that
 *  is loaded, instead of taking it from its code cache: only what is repeated often enough is worth that. (On Node 20 the
 *  launcher's --max-semi-space-size is such a flag already.) */
const CALLS: Tiering = { flags: { 'minimum-invocations-before-optimization': [2, 5000] }, workers: 100 }
/** Not 22, which has neither Maglev nor such early ticks. */
const BY_MAJOR: Readonly<Record<string, Tiering>> = { 20: TICKS, 24: CALLS, 26: CALLS }
/** With it V8 ends the process when a flag is set. */
const FROZEN = 'freeze-flags-after-init'
/** A start that takes longer is served by optimised code. */
const LATEST_MS = 5000

/** V8 flags to set while a herd starts, and those that undo it. */
export interface TierUpFlags {
  readonly postpone: readonly string[]
  readonly resume: readonly string[]
}

const NONE: TierUpFlags = { postpone: [], resume: [] }

/**
 * For Node `version` (as process.versions.node has it), of which the user gave the flags `execArgv`, and a herd of `workers`.
 * None for a version that is not known, whose V8 may have other names for them, and none where the user set one of them.
 */
export function tierUpFlags(version: string, execArgv: readonly string[], workers: number): TierUpFlags {
  const tiering = BY_MAJOR[version.split('.')[0] ?? '']
  if (tiering === undefined || workers < tiering.workers) return NONE
  const flags = Object.entries(tiering.flags)
  const given = execArgv.map(nameOf)
  if ([FROZEN, ...Object.keys(tiering.flags)].some((name) => given.includes(name))) return NONE
  return {
    postpone: flags.map(([name, [, start]]) => `--${name}=${start}`),
    resume: flags.map(([name, [own]]) => `--${name}=${own}`),
  }
}

/** V8 takes `_` for `-`, and the value after `=` or as the next argument. */
function nameOf(flag: string): string {
  return flag.replace(/^-+/, '').replace(/=.*/s, '').replaceAll('_', '-')
}

/**
 * Postpones optimisation in this process until `work` has settled, 5 s at most. Settles as `work` does. On the main thread
 * only, and not twice at a time: the flags are those of the whole process.
 */
export async function whileTierUpIsPostponed<T>(
  workers: number,
  work: () => Promise<T>,
  clock: Clock = systemClock,
): Promise<T> {
  const { postpone, resume } = tierUpFlags(process.versions.node, process.execArgv, workers)
  if (postpone.length === 0) return work()
  // Not imported: most starts on Node 22 and newer do not need it.
  const { setFlagsFromString } = process.getBuiltinModule('node:v8')
  let postponed = true
  const undo = (): void => {
    if (!postponed) return
    postponed = false
    for (const flag of resume) setFlagsFromString(flag)
  }
  for (const flag of postpone) setFlagsFromString(flag)
  const timer = clock.setTimer(LATEST_MS, undo, { unref: true })
  try {
    return await work()
  } finally {
    timer.cancel()
    undo()
  }
}
