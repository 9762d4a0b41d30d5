// What a swap would do: which units are on which side, which of them start, and which stay down. Looks, and changes nothing.

import { ByreError } from '../base/errors.ts'
import { readFigures } from './swap-figures.ts'
import { readAside } from './swap-journal.ts'
import type { Before, SideFigures, SwapRecord } from './swap-journal.ts'
import { showUnits } from './systemctl.ts'
import type { UnitState } from './systemctl.ts'
import { readUnitConflicts, readUnitWorkers } from './unit-files.ts'

export interface SwapPlan {
  readonly target: readonly UnitState[]
  readonly other: readonly UnitState[]
  /** Of the target, those that stay down: they were down when the side was put aside, or somebody has masked them. */
  readonly down: readonly string[]
  readonly before: SideFigures
  /** In words. */
  readonly steps: readonly string[]
}

export interface SwapSides {
  readonly herd: string
  readonly group: string
  readonly to: SwapRecord['to']
  /** Hosts the group; its Conflicts= names the units of single workers. */
  readonly groupUnit: string
  /** Of the group, in the config as it is now. */
  readonly workers: readonly string[]
}

/** Rejects BYRE_SWAP_UNITS when a unit is not there, cannot be loaded or is masked, or the group's conflicts with none or was
 *  made for other workers. */
export async function planSwap(sides: SwapSides): Promise<SwapPlan> {
  const { herd, group, to } = sides
  const [hosting, single] = await findUnits(sides)
  const [side, rest] = to === 'supervised' ? [[hosting], single] : [single, [hosting]]
  const aside = readAside(herd, group, to)
  const target = [...side, ...(await triggersOf(side, aside))]
  const other = [...rest, ...(await triggersOf(rest, []))]
  refuseBroken(target)
  const down = findDown(target, aside)
  if (target.every(({ unit }) => down.includes(unit)))
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap to ${to === 'individual' ? 'single units' : hosting.unit}: all of it is masked, by somebody else than byre swap. Lift the masks with systemctl unmask.`,
    )
  const before = await readFigures([...target, ...other].map(({ unit }) => unit))
  return { target, other, down, before, steps: describeSteps(to, target, other, down) }
}

async function findUnits({ group, groupUnit, to, workers }: SwapSides): Promise<[UnitState, UnitState[]]> {
  const [hosting] = (await showUnits([groupUnit])) as [UnitState]
  if (to === 'supervised' && hosting.maskedByHand)
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap: ${groupUnit} must not be masked, it is, by somebody else than byre swap. Lift the mask with systemctl unmask ${groupUnit}.`,
    )
  // A masked unit tells nothing of its file: then the side that runs has the Conflicts=.
  const names = hosting.load === 'masked' ? readUnitConflicts(groupUnit) : hosting.conflicts
  if (names.length === 0 || hosting.load === 'not-found')
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap: ${groupUnit} must be installed and have Conflicts= with the units of its workers, it ${
        hosting.load === 'not-found' ? 'is not found' : 'has none'
      }. Make the units with byre units --out /etc/systemd/system and run systemctl daemon-reload.`,
    )
  refuseStale(hosting, group, workers)
  const single = await showUnits(names)
  const missing = single.filter(({ load }) => load === 'not-found').map(({ unit }) => unit)
  if (to === 'individual' && missing.length > 0)
    throw new ByreError(
      'BYRE_SWAP_UNITS',
      `Cannot swap to single units: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not found. Install them, or leave them out of Conflicts= of ${groupUnit}.`,
    )
  return [hosting, single.filter(({ load }) => load !== 'not-found')]
}

/** A worker the unit does not know would run in the group and go on alone; on the way back nobody would start it. */
function refuseStale({ unit, outdated }: UnitState, group: string, workers: readonly string[]): void {
  const made = readUnitWorkers(unit) ?? workers
  const lacks = workers.filter((name) => !made.includes(name))
  const extra = made.filter((name) => !workers.includes(name))
  if (lacks.length === 0 && extra.length === 0 && !outdated) return
  const facts = [
    ...(lacks.length === 0 ? [] : [`it lacks ${some(lacks)}`]),
    ...(extra.length === 0 ? [] : [`it has ${some(extra)} of before`]),
    ...(outdated ? ['systemd has read an older file of it'] : []),
  ]
  const remake =
    lacks.length + extra.length === 0
      ? 'Run'
      : 'Make the units again with byre units --out /etc/systemd/system and run'
  throw new ByreError(
    'BYRE_SWAP_UNITS',
    `Cannot swap: ${unit} must be made for the workers that the config has in group ${group}, ${facts.join(' and ')}. ${remake} systemctl daemon-reload.`,
  )
}

/** Names in a sentence: a group may have a thousand workers. */
function some(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(', ')
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown
}

/** Sockets, timers and paths of a side: one that listens on would start a masked unit, and fail. */
async function triggersOf(side: readonly UnitState[], aside: readonly Before[]): Promise<UnitState[]> {
  const known = new Set(side.map(({ unit }) => unit))
  const names = [...side.flatMap(({ triggeredBy }) => triggeredBy), ...aside.map(({ unit }) => unit)]
  const fresh = new Set(names.filter((name) => !known.has(name) && !name.endsWith('.service')))
  return (await showUnits([...fresh])).filter(({ load }) => load !== 'not-found')
}

function refuseBroken(target: readonly UnitState[]): void {
  const broken = target.filter(({ load }) => load !== 'loaded' && load !== 'masked')
  if (broken.length === 0) return
  throw new ByreError(
    'BYRE_SWAP_UNITS',
    `Cannot swap: systemd must be able to load what shall run, ${broken.map(({ unit, load }) => `${unit} is ${load}`).join(', ')}. See systemctl status.`,
  )
}

function findDown(target: readonly UnitState[], aside: readonly Before[]): string[] {
  const was = new Map(aside.map((before) => [before.unit, before.active]))
  // A side that was put aside while nothing of it ran says nothing about its units.
  const anyRan = aside.some(({ active }) => active)
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
    `stop ${count(running)} and mask ${count(other)}${aside(
      fresh.map(({ unit }) => unit),
      'not running now: its worker will in the group',
      'not running now: their workers will in the group',
    )}`,
    `unmask and start ${count(started)}, and wait until ready${aside(
      down,
      'stays down: it was masked, or not running when the group took over',
      'stay down: they were masked, or not running when the group took over',
    )}`,
    'watch them for the health window; on any failure roll back',
    ...(toEnable.length > 0
      ? [`enable ${toEnable.length === 1 ? toEnable[0]! : `${toEnable.length} units`}`]
      : []),
  ]
}

function aside(units: readonly string[], one: string, several: string): string {
  if (units.length === 0) return ''
  return ` (${units.join(', ')} ${units.length === 1 ? one : several})`
}

function count(units: readonly UnitState[]): string {
  return units.length === 1 ? units[0]!.unit : `${units.length} units`
}

export function isUp({ active }: Pick<UnitState, 'active'>): boolean {
  return active === 'active' || active === 'activating' || active === 'reloading'
}

/** What came up at boot before must do so after; where some of the target do already, they are as somebody wanted them. */
export function unitsToEnable(
  target: readonly Pick<Before, 'unit' | 'enabled'>[],
  other: readonly Pick<Before, 'enabled'>[],
  down: readonly string[],
): string[] {
  if (target.some(({ enabled }) => enabled) || !other.some(({ enabled }) => enabled)) return []
  return target.map(({ unit }) => unit).filter((unit) => unit.endsWith('.service') && !down.includes(unit))
}
