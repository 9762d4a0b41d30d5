// Plans a swap: which units are on which side, which of them start, and which stay down. It reads and changes nothing.

import { ByreError } from '../base/errors.ts'
import { readFigures } from './swap-figures.ts'
import { readSavedSide } from './swap-journal.ts'
import type { UnitBefore, SideFigures, SwapRecord } from './swap-journal.ts'
import { showUnits } from './systemctl.ts'
import type { UnitState } from './systemctl.ts'
import { readUnitConflicts, readUnitWorkers } from './unit-files.ts'

export interface SwapPlan {
  readonly target: readonly UnitState[]
  readonly other: readonly UnitState[]
  /** Units of the target that stay down: they were down when the side was stopped by a swap, or the operator has
   *  masked them. */
  readonly down: readonly string[]
  readonly before: SideFigures
  /** The steps, as sentences. */
  readonly steps: readonly string[]
}

export interface SwapSides {
  readonly herd: string
  readonly group: string
  readonly to: SwapRecord['to']
  /** The unit of the group; its Conflicts= lists the units of single workers. */
  readonly groupUnit: string
  /** Workers of the group in the current config. */
  readonly workers: readonly string[]
}

/** Rejects with BYRE_SWAP_UNITS when a unit is missing, cannot be loaded or is masked, or when the group's unit has
 *  no conflicts or was made for other workers. */
export async function planSwap(sides: SwapSides): Promise<SwapPlan> {
  const { herd, group, to } = sides
  const [hosting, single] = await findUnits(sides)
  const [side, rest] = to === 'supervised' ? [[hosting], single] : [single, [hosting]]
  const savedUnits = readSavedSide(herd, group, to)
  const target = [...side, ...(await readTriggers(side, savedUnits))]
  const other = [...rest, ...(await readTriggers(rest, []))]
  refuseBroken(target)
  const down = findUnitsToLeaveDown(target, savedUnits)
  if (target.every(({ unit }) => down.includes(unit)))
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap to ${to === 'individual' ? 'single units' : hosting.unit}: all its units are masked, and not by byre swap. Remove the masks with systemctl unmask.`,
    )
  const before = await readFigures([...target, ...other].map(({ unit }) => unit))
  return { target, other, down, before, steps: describeSteps(to, target, other, down) }
}

async function findUnits({ group, groupUnit, to, workers }: SwapSides): Promise<[UnitState, UnitState[]]> {
  const [hosting] = (await showUnits([groupUnit])) as [UnitState]
  if (to === 'supervised' && hosting.maskedByHand)
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap: ${groupUnit} is masked, and not by byre swap. Remove the mask with systemctl unmask ${groupUnit}.`,
    )
  // systemd does not show the file of a masked unit, so Conflicts= is read from the file.
  const names = hosting.load === 'masked' ? readUnitConflicts(groupUnit) : hosting.conflicts
  if (names.length === 0 || hosting.load === 'not-found')
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap: ${groupUnit} ${
        hosting.load === 'not-found' ? 'is not installed' : 'has no Conflicts= with the units of its workers'
      }. Make the units with byre units --out /etc/systemd/system and run systemctl daemon-reload.`,
    )
  refuseStale(hosting, group, workers)
  const single = await showUnits(names)
  const missing = single.filter(({ load }) => load === 'not-found').map(({ unit }) => unit)
  if (to === 'individual' && missing.length > 0)
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap to single units: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not found. Install the missing units, or remove them from Conflicts= of ${groupUnit}.`,
    )
  return [hosting, single.filter(({ load }) => load !== 'not-found')]
}

/** Refuses a unit made for other workers: a worker missing in it would run twice, in the group and in its own unit,
 *  and no unit would start it after the swap back. */
function refuseStale({ unit, outdated }: UnitState, group: string, workers: readonly string[]): void {
  const made = readUnitWorkers(unit) ?? workers
  const lacks = workers.filter((name) => !made.includes(name))
  const extra = made.filter((name) => !workers.includes(name))
  if (lacks.length === 0 && extra.length === 0 && !outdated) return
  const facts = [
    ...(lacks.length === 0 ? [] : [`it lacks ${some(lacks)}`]),
    ...(extra.length === 0 ? [] : [`it still has ${some(extra)}`]),
    ...(outdated ? ['systemd has loaded an older version of its file'] : []),
  ]
  const remake =
    lacks.length + extra.length === 0
      ? 'Run'
      : 'Make the units again with byre units --out /etc/systemd/system and run'
  throw new ByreError(
    'BYRE_SWAP_UNITS',
    `Cannot swap: ${unit} does not match the workers of group ${group} in the config: ${facts.join(' and ')}. ${remake} systemctl daemon-reload.`,
  )
}

/** At most ten names: a group may have a thousand workers. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(', ')
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown
}

/** Sockets, timers and paths of a side: an active one would try to start a masked unit, and fail. */
async function readTriggers(
  side: readonly UnitState[],
  savedUnits: readonly UnitBefore[],
): Promise<UnitState[]> {
  const known = new Set(side.map(({ unit }) => unit))
  const names = [...side.flatMap(({ triggeredBy }) => triggeredBy), ...savedUnits.map(({ unit }) => unit)]
  const fresh = new Set(names.filter((name) => !known.has(name) && !name.endsWith('.service')))
  return (await showUnits([...fresh])).filter(({ load }) => load !== 'not-found')
}

function refuseBroken(target: readonly UnitState[]): void {
  const broken = target.filter(({ load }) => load !== 'loaded' && load !== 'masked')
  if (broken.length === 0) return
  throw new ByreError(
    'BYRE_SWAP_UNITS',
    `Cannot swap: systemd cannot load a unit that is to start: ${broken.map(({ unit, load }) => `${unit} is ${load}`).join(', ')}. See systemctl status.`,
  )
}

function findUnitsToLeaveDown(target: readonly UnitState[], savedUnits: readonly UnitBefore[]): string[] {
  const was = new Map(savedUnits.map((before) => [before.unit, before.active]))
  // If none of its units ran when the side was stopped, its saved state says nothing about single units.
  const anyRan = savedUnits.some(({ active }) => active)
  return target
    .filter(({ unit, active, maskedByHand }) => {
      if (maskedByHand) return true
      if (active === 'active') return false
      return unit.endsWith('.service') ? anyRan && was.get(unit) === false : was.get(unit) !== true
    })
    .map(({ unit }) => unit)
}

function describeSteps(
  to: SwapRecord['to'],
  target: readonly UnitState[],
  other: readonly UnitState[],
  down: readonly string[],
): string[] {
  const running = other.filter(isUp)
  const resting = other.filter((state) => !isUp(state) && state.unit.endsWith('.service'))
  const fresh = to === 'supervised' && running.length > 0 ? resting : []
  const started = target.filter(({ unit }) => !down.includes(unit))
  const toEnable = unitsToEnable(target, other, down)
  return [
    `stop ${count(running)} and mask ${count(other)}${remark(
      fresh.map(({ unit }) => unit),
      'not running now: its worker will run in the group',
      'not running now: their workers will run in the group',
    )}`,
    `unmask and start ${count(started)}, and wait until ready${remark(
      down,
      'stays down: it was masked, or not running when the group took over',
      'stay down: they were masked, or not running when the group took over',
    )}`,
    'watch them for the health window; roll back on any failure',
    ...(toEnable.length > 0
      ? [`enable ${toEnable.length === 1 ? toEnable[0]! : `${toEnable.length} units`}`]
      : []),
  ]
}

function remark(units: readonly string[], one: string, several: string): string {
  if (units.length === 0) return ''
  return ` (${units.join(', ')} ${units.length === 1 ? one : several})`
}

function count(units: readonly UnitState[]): string {
  return units.length === 1 ? units[0]!.unit : `${units.length} units`
}

export function isUp({ active }: Pick<UnitState, 'active'>): boolean {
  return active === 'active' || active === 'activating' || active === 'reloading'
}

/** If the old side was enabled at boot, the new side must be too; if some target units are enabled already, they
 *  stay as the operator set them. */
export function unitsToEnable(
  target: readonly Pick<UnitBefore, 'unit' | 'enabled'>[],
  other: readonly Pick<UnitBefore, 'enabled'>[],
  down: readonly string[],
): string[] {
  if (target.some(({ enabled }) => enabled) || !other.some(({ enabled }) => enabled)) return []
  return target.map(({ unit }) => unit).filter((unit) => unit.endsWith('.service') && !down.includes(unit))
}
