// The swap: from one unit for each worker to one for the group, or back, measured, with a way back from every step.
//
// The side that does not run is masked, so that nothing can start it; Conflicts= is the second line. Until the new side
// has been healthy for its window, every failure leads back to exactly what ran before.

import { setTimeout as sleep } from 'node:timers/promises'
import { ByreError, describeThrown } from '../base/errors.ts'
import { readFigures } from './swap-figures.ts'
import { removeSwap, writeAside, writeSwap } from './swap-journal.ts'
import type { Before, SideFigures, SwapPhase, SwapRecord } from './swap-journal.ts'
import { isUp, unitsToEnable } from './swap-plan.ts'
import type { SwapPlan, SwapSides } from './swap-plan.ts'
import {
  beginUnits,
  enableUnits,
  setMasks,
  showUnits,
  startUnits,
  stopUnits,
  syncLinks,
} from './systemctl.ts'
import type { UnitState } from './systemctl.ts'

export interface SwapRequest extends SwapSides {
  readonly healthMs: number
  /** Why the herd inside is not well, or undefined; asked all through the window. */
  readonly check: () => Promise<string | undefined>
  /** Aborted: roll back. */
  readonly signal: AbortSignal
  /** One line for each step, before it is done. */
  readonly onStep: (text: string) => void
}

export type SwapOutcome =
  | { readonly kind: 'swapped'; readonly before: SideFigures; readonly after: SideFigures }
  | { readonly kind: 'rolled-back'; readonly why: string; readonly before: SideFigures }
  | { readonly kind: 'already'; readonly before: SideFigures }

const POLL_MS = 500
/** Of a rollback: the signal that asks for it may be sent to a whole cgroup, and end its systemctl as well. */
const ATTEMPTS = 3

/** Does it, or undoes it; rejects only when what ran before cannot be brought back (BYRE_SWAP_STUCK), with the journal left. */
export async function swap(request: SwapRequest, plan: SwapPlan): Promise<SwapOutcome> {
  const { target, other, down, before } = plan
  if (
    target.every(({ unit, active }) => active === 'active' || down.includes(unit)) &&
    !other.some(isUp) &&
    other.every(({ masked }) => masked)
  )
    return { kind: 'already', before }
  let record: SwapRecord = {
    version: 1,
    herd: request.herd,
    group: request.group,
    to: request.to,
    startedAt: Date.now(),
    phase: 'switching',
    target: target.map(remember),
    other: other.map(remember),
    ...(down.length === 0 ? {} : { down }),
    before,
  }
  const enter = (phase: SwapPhase, text: string): void => {
    request.signal.throwIfAborted()
    const next = { ...record, phase }
    writeSwap(next)
    record = next
    request.onStep(text)
  }
  try {
    enter('switching', plan.steps[0]!)
    await switchSides(record)
    enter('starting', plan.steps[1]!)
    const started = startedOf(record)
    await startUnits(started)
    enter('watching', `watching for ${request.healthMs} ms`)
    await watch(request, started)
    const after = await readFigures(started)
    writeAside(record)
    enter('settling', 'settling')
    await settle(record)
    return { kind: 'swapped', before, after }
  } catch (error) {
    // A wait that is cut short says only that it was.
    const why = describeThrown(request.signal.aborted ? request.signal.reason : error).message
    request.onStep(`rolling back: ${why}`)
    await rollBack(record, why)
    return { kind: 'rolled-back', why, before }
  }
}

/** Ends what was interrupted: finishes a swap whose new side had proven itself, else rolls it back. */
export async function resumeSwap(record: SwapRecord): Promise<'finished' | 'rolled-back'> {
  if (record.phase === 'settling') {
    await settle(record)
    return 'finished'
  }
  await rollBack(record, record.why ?? `the swap was interrupted while ${record.phase}`)
  return 'rolled-back'
}

function remember({ unit, enabled, masked, ...state }: UnitState): Before {
  const arriving = state.active === 'activating' ? { arriving: true as const } : {}
  return { unit, active: isUp(state), ...arriving, enabled, masked }
}

function startedOf({ target, down = [] }: SwapRecord): string[] {
  return names(target).filter((unit) => !down.includes(unit))
}

function names(side: readonly Before[]): string[] {
  return side.map(({ unit }) => unit)
}

async function switchSides({ target, other }: SwapRecord): Promise<void> {
  // Before the masks: a masked unit has lost the TimeoutStopSec= of its file.
  await stopUnits(names(other))
  await setMasks([
    ...other.map(({ unit }) => [unit, true] as const),
    ...target.map(({ unit }) => [unit, false] as const),
  ])
}

/** Rejects with the first reason why the new side is not well. */
async function watch({ healthMs, check, signal }: SwapRequest, units: readonly string[]): Promise<void> {
  const first = await showUnits(units)
  const until = performance.now() + healthMs
  for (;;) {
    const now = await showUnits(units)
    const bad = now.find((state, i) => state.active !== 'active' || state.restarts > first[i]!.restarts)
    if (bad !== undefined)
      throw new Error(
        `${bad.unit} is ${bad.active} (${bad.result}) after ${bad.restarts} restarts; its last status: '${bad.statusText}'`,
      )
    const reason = await check()
    if (reason !== undefined) throw new Error(reason)
    if (performance.now() >= until) return
    await sleep(Math.min(POLL_MS, Math.max(1, until - performance.now())), undefined, { signal })
  }
}

/** The end of a swap that went well; may be done again from any point of it. */
async function settle(record: SwapRecord): Promise<void> {
  await switchSides(record)
  await enableUnits(unitsToEnable(record.target, record.other, record.down ?? []), true)
  await startUnits(startedOf(record)) // after a reboot it may not run yet
  syncLinks() // before the journal goes: without it nobody would put them right
  removeSwap(record)
}

/** Back to exactly what ran before; may be done again from any point of it. */
async function rollBack(record: SwapRecord, why: string): Promise<void> {
  noteRollBack(record, why)
  for (let attempt = 1; ; attempt++) {
    try {
      await restore(record)
      syncLinks()
      removeSwap(record)
      return
    } catch (error) {
      if (attempt < ATTEMPTS) continue
      throw new ByreError(
        'BYRE_SWAP_STUCK',
        `Cannot roll the swap of ${record.herd}/${record.group} back: ${describeThrown(error).message}. It was rolled back because: ${why}. Mend the units and run byre swap --resume.`,
        { cause: error },
      )
    }
  }
}

/** Only a resume reads it, and that ends the swap from the phase on disk as well: a full disk must not keep the old side down. */
function noteRollBack(record: SwapRecord, why: string): void {
  try {
    writeSwap({ ...record, phase: 'rolling-back', why })
  } catch {
    // told if it is what the swap is rolled back for
  }
}

async function restore(record: SwapRecord): Promise<void> {
  const { target, other, phase, down = [] } = record
  await stopUnits(names(target.filter(({ active }) => !active)))
  if (phase === 'settling' || phase === 'rolling-back')
    await enableUnits(unitsToEnable(target, other, down), false)
  await setMasks([...target, ...other].map(({ unit, masked }) => [unit, masked] as const))
  const ran = [...other, ...target].filter(({ active }) => active)
  // One that had not arrived may never do: to wait for it would be to fail with it.
  const arriving = ran.filter((unit) => unit.arriving === true)
  await startUnits(names(ran.filter((unit) => unit.arriving !== true)))
  await beginUnits(names(arriving))
}
