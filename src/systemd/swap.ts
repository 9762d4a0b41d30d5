// The swap: from one unit per worker to one unit for the group, or back. It measures both sides and can roll back from
// every step.
//
// The side that does not run is masked, so that nothing can start it; Conflicts= is a second safeguard. Until the new
// side has been healthy for its window, every failure restores exactly what ran before.

import { setTimeout as sleep } from 'node:timers/promises'
import { ByreError, describeThrown } from '../base/errors.ts'
import { readFigures } from './swap-figures.ts'
import { removeSwap, saveSide, writeSwap } from './swap-journal.ts'
import type { UnitBefore, SideFigures, SwapPhase, SwapRecord } from './swap-journal.ts'
import { isUp, unitsToEnable } from './swap-plan.ts'
import type { SwapPlan, SwapSides } from './swap-plan.ts'
import {
  requestStart,
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
  /** Returns why the herd is not healthy, or undefined; called throughout the window. */
  readonly check: () => Promise<string | undefined>
  /** Aborting rolls the swap back. */
  readonly signal: AbortSignal
  /** Called with one line before each step. */
  readonly onStep: (text: string) => void
}

export type SwapOutcome =
  | { readonly kind: 'swapped'; readonly before: SideFigures; readonly after: SideFigures }
  | { readonly kind: 'rolled-back'; readonly why: string; readonly before: SideFigures }
  | { readonly kind: 'already'; readonly before: SideFigures }

const POLL_MS = 500
/** Attempts of a rollback: a signal sent to the whole cgroup may end its systemctl as well. */
const ATTEMPTS = 3

/** Swaps, or rolls back. Rejects only when the previous state cannot be restored (BYRE_SWAP_STUCK); the journal then
 *  stays. */
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
    target: target.map(stateBefore),
    other: other.map(stateBefore),
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
    saveSide(record)
    enter('finishing', 'finishing')
    await finish(record)
    return { kind: 'swapped', before, after }
  } catch (error) {
    // The error of an aborted wait says only that it was aborted.
    const why = describeThrown(request.signal.aborted ? request.signal.reason : error).message
    request.onStep(`rolling back: ${why}`)
    await rollBack(record, why)
    return { kind: 'rolled-back', why, before }
  }
}

/** Ends an interrupted swap: completes it when the new side had passed its health window, else rolls it back. */
export async function resumeSwap(record: SwapRecord): Promise<'finished' | 'rolled-back'> {
  if (record.phase === 'finishing') {
    await finish(record)
    return 'finished'
  }
  await rollBack(record, record.why ?? `the swap was interrupted while ${record.phase}`)
  return 'rolled-back'
}

function stateBefore({ unit, enabled, masked, ...state }: UnitState): UnitBefore {
  const arriving = state.active === 'activating' ? { arriving: true as const } : {}
  return { unit, active: isUp(state), ...arriving, enabled, masked }
}

function startedOf({ target, down = [] }: SwapRecord): string[] {
  return names(target).filter((unit) => !down.includes(unit))
}

function names(side: readonly UnitBefore[]): string[] {
  return side.map(({ unit }) => unit)
}

async function switchSides({ target, other }: SwapRecord): Promise<void> {
  // Stop before masking: a masked unit loses the TimeoutStopSec= of its file.
  await stopUnits(names(other))
  await setMasks([
    ...other.map(({ unit }) => [unit, true] as const),
    ...target.map(({ unit }) => [unit, false] as const),
  ])
}

/** Rejects with the first reason why the new side is not healthy. */
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

/** Completes a successful swap. Idempotent at every point. */
async function finish(record: SwapRecord): Promise<void> {
  await switchSides(record)
  await enableUnits(unitsToEnable(record.target, record.other, record.down ?? []), true)
  await startUnits(startedOf(record)) // after a reboot they may not run yet
  syncLinks() // before the journal is removed: without it no resume would repair them
  removeSwap(record)
}

/** Restores exactly what ran before. Idempotent at every point. */
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
        `Cannot roll back the swap of ${record.herd}/${record.group}: ${describeThrown(error).message}. Reason of the rollback: ${why}. Repair the units and run byre swap --resume.`,
        { cause: error },
      )
    }
  }
}

/** Writes the phase `rolling-back` if possible. Only a resume reads it, and a resume rolls back from the previous
 *  phase as well, so a full disk must not keep the old side down. */
function noteRollBack(record: SwapRecord, why: string): void {
  try {
    writeSwap({ ...record, phase: 'rolling-back', why })
  } catch {
    // if this error caused the rollback, it is already in `why`
  }
}

async function restore(record: SwapRecord): Promise<void> {
  const { target, other, phase, down = [] } = record
  await stopUnits(names(target.filter(({ active }) => !active)))
  if (phase === 'finishing' || phase === 'rolling-back')
    await enableUnits(unitsToEnable(target, other, down), false)
  await setMasks([...target, ...other].map(({ unit, masked }) => [unit, masked] as const))
  const ran = [...other, ...target].filter(({ active }) => active)
  // A unit that was still starting may never become ready; waiting for it would fail the rollback.
  const arriving = ran.filter((unit) => unit.arriving === true)
  await startUnits(names(ran.filter((unit) => unit.arriving !== true)))
  await requestStart(names(arriving))
}
