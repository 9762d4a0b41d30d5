// The swap: from one unit for each worker to one for the group, or back, measured, with a way back from every step.
//
// The side that does not run is masked, so that nothing can start it; Conflicts= is the second line. Until the new side
// has been healthy for its window, every failure leads back to exactly what ran before.

import { setTimeout as sleep } from 'node:timers/promises'
import { ByreError, describeThrown } from '../base/errors.ts'
import { readFigures } from './swap-figures.ts'
import { removeSwap, writeSwap } from './swap-journal.ts'
import type { Before, SideFigures, SwapPhase, SwapRecord } from './swap-journal.ts'
import { enableUnits, setMasks, showUnits, startUnits, stopUnits } from './systemctl.ts'
import type { UnitState } from './systemctl.ts'

export interface SwapRequest {
  readonly herd: string
  readonly group: string
  readonly to: 'supervised' | 'individual'
  /** Hosts the group; its Conflicts= names the units of single workers. */
  readonly groupUnit: string
  readonly healthMs: number
  /** Why the herd inside is not well, or undefined; asked all through the window. */
  readonly check: () => Promise<string | undefined>
  /** Aborted: roll back. */
  readonly signal: AbortSignal
  /** One line for each step, before it is done. */
  readonly onStep: (text: string) => void
}

export interface SwapPlan {
  readonly target: readonly UnitState[]
  readonly other: readonly UnitState[]
  readonly before: SideFigures
  /** In words. */
  readonly steps: readonly string[]
}

export type SwapOutcome =
  | { readonly kind: 'swapped'; readonly before: SideFigures; readonly after: SideFigures }
  | { readonly kind: 'rolled-back'; readonly why: string; readonly before: SideFigures }
  | { readonly kind: 'already'; readonly before: SideFigures }

const POLL_MS = 500
/** Of a rollback: the signal that asks for it may be sent to a whole cgroup, and end its systemctl as well. */
const ATTEMPTS = 3

/** Looks, and changes nothing. Rejects BYRE_SWAP_UNITS when a unit is not there or conflicts with none. */
export async function planSwap({ groupUnit, to }: SwapRequest): Promise<SwapPlan> {
  const [group] = (await showUnits([groupUnit])) as [UnitState]
  // A masked unit tells nothing of its file: then the side that runs has the Conflicts=.
  const names = group.load === 'masked' ? await conflictsOfMasked(groupUnit) : group.conflicts
  if (names.length === 0 || group.load === 'not-found')
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap: ${groupUnit} must be installed and have Conflicts= with the units of its workers, it ${
        group.load === 'not-found' ? 'is not found' : 'has none'
      }. Make the units with byre units --out /etc/systemd/system and run systemctl daemon-reload.`,
    )
  const single = await showUnits(names)
  const missing = single.filter(({ load }) => load === 'not-found').map(({ unit }) => unit)
  if (to === 'individual' && missing.length > 0)
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap to single units: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not found. Install them, or leave them out of Conflicts= of ${groupUnit}.`,
    )
  const there = single.filter(({ load }) => load !== 'not-found')
  const [target, other] = to === 'supervised' ? [[group], there] : [there, [group]]
  const before = await readFigures([...target, ...other].map(({ unit }) => unit))
  return { target, other, before, steps: describeSteps(target, other) }
}

function describeSteps(target: readonly UnitState[], other: readonly UnitState[]): string[] {
  const running = other.filter(isUp)
  return [
    `stop ${count(running)} and mask ${count(other)}`,
    `unmask and start ${count(target)}, and wait until ready`,
    'watch them for the health window; on any failure roll back',
    ...(other.some(({ enabled }) => enabled)
      ? [`enable ${count(target.filter(({ enabled }) => !enabled))}`]
      : []),
  ]
}

function count(units: readonly UnitState[]): string {
  return units.length === 1 ? units[0]!.unit : `${units.length} units`
}

function isUp({ active }: Pick<UnitState, 'active'>): boolean {
  return active === 'active' || active === 'activating' || active === 'reloading'
}

/** Does it, or undoes it; rejects only when what ran before cannot be brought back (BYRE_SWAP_STUCK), with the journal left. */
export async function swap(request: SwapRequest, plan: SwapPlan): Promise<SwapOutcome> {
  const { target, other, before } = plan
  if (
    target.every(({ active }) => active === 'active') &&
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
    before,
  }
  const enter = (phase: SwapPhase, text: string): void => {
    request.signal.throwIfAborted()
    record = { ...record, phase }
    writeSwap(record)
    request.onStep(text)
  }
  try {
    enter('switching', plan.steps[0]!)
    await switchSides(record)
    enter('starting', plan.steps[1]!)
    await startUnits(names(record.target))
    enter('watching', `watching for ${request.healthMs} ms`)
    await watch(request, names(record.target))
    const after = await readFigures(names(record.target))
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
  return { unit, active: isUp(state), enabled, masked }
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
  const { target, other } = record
  await stopUnits(names(other))
  await setMasks([
    ...other.map(({ unit }) => [unit, true] as const),
    ...target.map(({ unit }) => [unit, false] as const),
  ])
  // What came up at boot before must do so after.
  if (other.some(({ enabled }) => enabled) || target.some(({ enabled }) => enabled))
    await enableUnits(names(target), true)
  await startUnits(names(target)) // after a reboot it may not run yet
  removeSwap(record)
}

/** Back to exactly what ran before; may be done again from any point of it. */
async function rollBack(record: SwapRecord, why: string): Promise<void> {
  const { target, other } = record
  writeSwap({ ...record, phase: 'rolling-back', why })
  for (let attempt = 1; ; attempt++) {
    try {
      const fresh = target.filter(({ active }) => !active)
      await stopUnits(names(fresh))
      if (record.phase === 'settling' || record.phase === 'rolling-back')
        await enableUnits(names(fresh.filter(({ enabled, masked }) => !enabled && !masked)), false)
      await setMasks([...target, ...other].map(({ unit, masked }) => [unit, masked] as const))
      await startUnits(names([...other, ...target].filter(({ active }) => active)))
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

/** Of a masked unit systemd knows no Conflicts=: those of the units that name it are the same. */
async function conflictsOfMasked(groupUnit: string): Promise<string[]> {
  const { readUnitConflicts } = await import('./unit-files.ts')
  return readUnitConflicts(groupUnit)
}
