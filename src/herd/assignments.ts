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
/** An ejected worker goes back to where its config wants it with the first start after this. */
const EJECTED_FOR_MS = 24 * 3_600_000

interface Move extends MovedStatus {
  /** What the config said then; another word of it since is the newer decision. */
  readonly configured: Placement
}

export interface AssignmentsOptions {
  /** `<group>.state.json`. */
  readonly file: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly log: Logger
  /** A module that `byre run` hosts is alone already. */
  readonly alone: boolean
}

export class Assignments {
  readonly #options: AssignmentsOptions
  readonly #moves: Map<string, Move>

  constructor(options: AssignmentsOptions) {
    this.#options = options
    this.#moves = readMoves(options)
  }

  /** Where `spec` lives, or is to be started. */
  of(spec: ResolvedWorker): Placement {
    return this.#moves.get(spec.name)?.to ?? this.#configured(spec)
  }

  /** Where `spec` is started now: a decision whose time is over, or that the config has overtaken, ends here. */
  start(spec: ResolvedWorker): Placement {
    const configured = this.#configured(spec)
    const move = this.#moves.get(spec.name)
    if (move === undefined) return configured
    const over = move.until !== undefined && move.until <= this.#options.now()
    if (!over && move.configured === spec.placement) return move.to
    this.#options.log.info(
      { event: 'move-over', worker: spec.name, from: move.to, to: configured },
      over ? 'the time of its eject is over' : 'its config changed since it was moved',
    )
    this.#forget(spec.name)
    return configured
  }

  /** For the status: where it lives, and the decision behind that, if it is not the config's. */
  status(spec: ResolvedWorker): { readonly placement: Placement; readonly moved?: MovedStatus } {
    const placement = this.of(spec)
    const move = this.#moves.get(spec.name)
    if (move === undefined) return { placement }
    const { to, by, why, at, until } = move
    return { placement, moved: { to, by, why, at, ...(until === undefined ? {} : { until }) } }
  }

  /** As `onLimit: 'eject'`, or `onStall` after a stall, asks for a worker that took the process down; false when its
   *  config does not, or it has one. */
  eject(spec: ResolvedWorker, why: string, stalled = false): boolean {
    const asked = spec.onLimit === 'eject' || (stalled && spec.onStall === 'eject')
    if (!asked || this.of(spec) === 'process') return false
    this.move(spec, 'process', 'eject', why)
    return true
  }

  /** From its next run on `spec` lives in a process, if it does not. */
  ejectStalled(spec: ResolvedWorker, why: string): void {
    if (this.of(spec) !== 'process') this.move(spec, 'process', 'eject', why)
  }

  /** From its next run on `spec` lives in `to`; where the config wants it anyway, there is nothing to remember. */
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

  /** Atomically: a reader sees the file of before or of after. A disk that refuses costs the memory, not the move. */
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
    return new Map() // none was written
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
      'moves of workers are forgotten: the state file cannot be read',
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
