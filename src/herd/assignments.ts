// The placement each worker is assigned to: the one of its config, or the one it was moved or ejected to. Moves are kept in
// the state file, so that the next supervisor keeps the decision.

import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isRecord } from '../base/check.ts'
import { ensureFolder } from '../base/places.ts'
import { describeThrown } from '../base/errors.ts'
import type { Placement, ResolvedWorker } from '../config/types.ts'
import type { Logger } from '../log/logger.ts'
import type { MovedStatus } from './status.ts'

const STATE_VERSION = 1
/** After this time the next start of an ejected worker uses the placement of its config again. */
const EJECTED_FOR_MS = 24 * 3_600_000

interface Move extends MovedStatus {
  /** The placement in the config at that time; if the config has changed since, it is the newer decision. */
  readonly configured: Placement
}

export interface AssignmentsOptions {
  /** `<group>.state.json`. */
  readonly file: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly log: Logger
  /** `byre run`: a module is alone in its process already. */
  readonly alone: boolean
}

export class Assignments {
  readonly #options: AssignmentsOptions
  readonly #moves: Map<string, Move>

  constructor(options: AssignmentsOptions) {
    this.#options = options
    this.#moves = readMoves(options)
  }

  /** The placement in which `spec` runs, or will be started. */
  of(spec: ResolvedWorker): Placement {
    return this.#moves.get(spec.name)?.to ?? this.#configured(spec)
  }

  /** The placement in which `spec` is started now. Drops a move that has expired or that a newer config overrides. */
  start(spec: ResolvedWorker): Placement {
    const configured = this.#configured(spec)
    const move = this.#moves.get(spec.name)
    if (move === undefined) return configured
    const over = move.until !== undefined && move.until <= this.#options.now()
    if (!over && move.configured === spec.placement) return move.to
    this.#options.log.info(
      { event: 'move-over', worker: spec.name, from: move.to, to: configured },
      over ? 'the eject has expired' : 'its config changed after the move',
    )
    this.#forget(spec.name)
    return configured
  }

  /** For the status: the placement, and the move behind it if it is not the one of the config. */
  status(spec: ResolvedWorker): { readonly placement: Placement; readonly moved?: MovedStatus } {
    const placement = this.of(spec)
    const move = this.#moves.get(spec.name)
    if (move === undefined) return { placement }
    const { to, by, why, at, until } = move
    return { placement, moved: { to, by, why, at, ...(until === undefined ? {} : { until }) } }
  }

  /** Ejects a worker that ended the last process, if its config says so: `onLimit: 'eject'`, or `onStall: 'eject'` after a
   *  stall. False if the config does not, or if the worker runs in a process already. */
  eject(spec: ResolvedWorker, why: string, stalled = false): boolean {
    const asked = spec.onLimit === 'eject' || (stalled && spec.onStall === 'eject')
    if (!asked || this.of(spec) === 'process') return false
    this.move(spec, 'process', 'eject', why)
    return true
  }

  /** Moves `spec` to `process` from its next run on, unless it runs there already. */
  ejectStalled(spec: ResolvedWorker, why: string): void {
    if (this.of(spec) !== 'process') this.move(spec, 'process', 'eject', why)
  }

  /** Moves `spec` to `to` from its next run on. A move to the placement of the config is not recorded. */
  move(spec: ResolvedWorker, to: Placement, by: MovedStatus['by'], why: string): void {
    const at = this.#options.now()
    const from = this.of(spec)
    this.#options.log.warn(
      { event: 'moved', worker: spec.name, from, to, by, why },
      `worker ${spec.name} moves from ${from} to ${to}: ${why}`,
    )
    if (to === this.#configured(spec)) this.#forget(spec.name)
    else {
      const until = by === 'eject' ? { until: at + EJECTED_FOR_MS } : {}
      this.#moves.set(spec.name, { to, by, why, at, ...until, configured: spec.placement })
      this.#write()
    }
  }

  #configured(spec: ResolvedWorker): Placement {
    const alone = this.#options.alone && spec.source.kind === 'module' && spec.cwd === undefined
    return alone ? 'shared' : spec.placement
  }

  #forget(worker: string): void {
    if (this.#moves.delete(worker)) this.#write()
  }

  /** Replaces the file atomically. If the disk refuses, the move still happens but is not remembered. */
  #write(): void {
    const { file, log } = this.#options
    try {
      if (this.#moves.size === 0) {
        rmSync(file, { force: true })
        return
      }
      ensureFolder(dirname(file))
      const state = { version: STATE_VERSION, moves: Object.fromEntries(this.#moves) }
      writeFileSync(`${file}.new`, `${JSON.stringify(state)}\n`, { mode: 0o600 })
      renameSync(`${file}.new`, file)
    } catch (error) {
      log.error(
        { event: 'state-not-written', file, ...describeThrown(error) },
        'moves of workers are not remembered: the state file cannot be written',
      )
    }
  }
}

function readMoves({ file, log }: AssignmentsOptions): Map<string, Move> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return new Map() // no move was written
  }
  try {
    const state: unknown = JSON.parse(text)
    if (!isRecord(state) || state['version'] !== STATE_VERSION || !isRecord(state['moves']))
      throw new Error(`it is not a state file of version ${STATE_VERSION}`)
    return new Map(
      Object.entries(state['moves']).filter((entry): entry is [string, Move] => isMove(entry[1])),
    )
  } catch (error) {
    log.error(
      { event: 'state-unreadable', file, ...describeThrown(error) },
      'moves of workers are ignored: the state file cannot be read',
    )
    return new Map()
  }
}

const PLACES: readonly unknown[] = ['shared', 'thread', 'process']

function isMove(value: unknown): value is Move {
  return (
    isRecord(value) &&
    PLACES.includes(value['to']) &&
    PLACES.includes(value['configured']) &&
    (value['by'] === 'hand' || value['by'] === 'eject') &&
    typeof value['why'] === 'string' &&
    typeof value['at'] === 'number' &&
    (value['until'] === undefined || typeof value['until'] === 'number')
  )
}
