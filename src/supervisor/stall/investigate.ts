// One stall from its discovery to its end: who holds the loop, where, and for how long, told in the log while it lasts.
// Runs in the watching thread; loaded with the first stall.

import { formatDurationMs } from '../../base/durations.ts'
import type { Logger } from '../../log/logger.ts'
import type { StackOwners } from '../attribution/stack.ts'
import type { LineBudget } from './line-budget.ts'
import { nameCulprit, placeOf, showFrames } from './name-culprit.ts'
import type { Culprit, Frame, Place } from './name-culprit.ts'
import { dropStallNote, writeStallNote } from './note.ts'
import { pauseMainLoop } from './pause.ts'
import type { Paused, Pausing } from './pause.ts'
import type { Stall, WatchedWorker } from './protocol.ts'

export interface Investigation {
  readonly owners: StackOwners
  readonly workerOf: (name: string) => WatchedWorker | undefined
  /** The worker the loop went into last. */
  readonly entered: () => string | undefined
  /** The loop answers again. */
  readonly over: () => boolean
  /** At least this long, now. */
  readonly blockedMs: () => number
  readonly budget: LineBudget
  readonly log: Logger
  readonly noteFile: string
  /** Keeps the profile of a stall; undefined: no worker asks for it. */
  readonly keep: ((profile: string) => string) | undefined
}

/** JavaScript stops within 60 ms; what has not by then is native code, or the machine is busy with other work. */
const NATIVE_AFTER_MS = 300
/** A loop that is blocked this long after it could be paused was not in native code, or is not any more. */
const BACK_MS = 200
const POLL_MS = 20
/** The note says how long the loop was held to within this. */
const NOTE_EVERY_MS = 1000

/** Resolves when the loop answers again, with what held it; undefined when that was nobody whose stalls are told. */
export async function investigate(asked: Investigation): Promise<Stall | undefined> {
  const patience = deadlineOf(asked)
  if (!(await blockedUntil(asked, patience))) return undefined
  const at = Date.now()
  let paused: Paused | undefined
  let native = false
  const { ownRoot } = asked.owners
  // After native code only the first stack tells of it: what follows may be somebody else's.
  const wanted = (frames: readonly Frame[]): boolean => native || placeOf(frames, ownRoot) !== undefined
  const sampled = (where: Paused): boolean =>
    asked.keep !== undefined && wantsProfile(asked, judge(asked, where).culprit?.worker)
  const pausing = pauseMainLoop(wanted, (where) => (paused = where), sampled)
  try {
    await until(() => paused !== undefined || asked.over(), NATIVE_AFTER_MS)
    if (paused !== undefined) {
      const stall = await inJavaScript(asked, paused, at)
      await keepProfile(asked, stall?.worker, pausing)
      return stall
    }
    if (asked.over()) return undefined
    native = true
    return await inNative(asked, () => paused, at)
  } finally {
    pausing.takeBack()
    dropStallNote(asked.noteFile)
  }
}

/** Larger ones are not written: ten of them are kept. */
const PROFILE_MAX_BYTES = 4_000_000

/** What the loop did from the pause to the end of the stall, if its worker asks for that. */
async function keepProfile(
  asked: Investigation,
  worker: string | undefined,
  pausing: Pausing,
): Promise<void> {
  if (asked.keep === undefined || !wantsProfile(asked, worker)) return
  const text = JSON.stringify(await pausing.profile())
  if (text === undefined || text.length > PROFILE_MAX_BYTES) {
    const bytes = text === undefined ? {} : { profileBytes: text.length, limitBytes: PROFILE_MAX_BYTES }
    asked.log.warn({ event: 'stall-profile-dropped', worker, ...bytes }, 'no profile of the stall was kept')
    return
  }
  try {
    asked.log.warn(
      { event: 'stall-profile', worker, file: asked.keep(text) },
      'a profile of the stall was kept',
    )
  } catch (error) {
    asked.log.error(
      { event: 'stall-profile-dropped', worker, why: String(error) },
      'a profile could not be written',
    )
  }
}

function wantsProfile(asked: Investigation, worker: string | undefined): boolean {
  return worker !== undefined && asked.workerOf(worker)?.profile === true
}

/** The one last entered may be given more time than the most impatient of the herd. */
function deadlineOf(asked: Investigation): number {
  const entered = asked.entered()
  const worker = entered === undefined ? undefined : asked.workerOf(entered)
  return worker?.afterMs ?? 0
}

async function blockedUntil(asked: Investigation, blockedMs: number): Promise<boolean> {
  while (!asked.over() && asked.blockedMs() < blockedMs) await sleep(POLL_MS)
  return !asked.over()
}

async function inJavaScript(asked: Investigation, paused: Paused, at: number): Promise<Stall | undefined> {
  const { culprit, place } = judge(asked, paused)
  const patience = culprit === undefined ? undefined : asked.workerOf(culprit.worker)?.afterMs
  if (!(await blockedUntil(asked, patience ?? 0))) return undefined
  const stall: Stall = { kind: 'javascript', blockedMs: asked.blockedMs(), at, ...culprit, ...place }
  writeStallNote(asked.noteFile, stall)
  const told = tellsOf(asked, culprit)
    ? tell(asked, stall, { stack: showFrames(paused.frames) }, sentence(stall))
    : false
  return finish(asked, stall, told)
}

async function inNative(
  asked: Investigation,
  paused: () => Paused | undefined,
  at: number,
): Promise<Stall | undefined> {
  const entered = asked.entered()
  const first: Stall = {
    kind: 'native',
    blockedMs: asked.blockedMs(),
    at,
    ...(entered === undefined ? {} : { worker: entered, by: 'entered' as const }),
  }
  writeStallNote(asked.noteFile, first)
  const told = tellsOf(asked, entered === undefined ? undefined : { worker: entered, by: 'entered' })
    ? tell(asked, first, { unavailable: { function: NATIVE } }, sentence(first))
    : false
  await until(() => paused() !== undefined || asked.over())
  const where = paused()
  const { culprit, place } = where === undefined ? NOTHING : judge(asked, where)
  const stall: Stall = { ...first, ...culprit, ...place, blockedMs: asked.blockedMs() }
  if (told) confirm(asked, stall, where)
  if (where !== undefined) {
    await until(asked.over, BACK_MS)
    if (!asked.over()) return await inJavaScript(asked, where, at)
  }
  return finish(asked, stall, told)
}

function confirm(asked: Investigation, stall: Stall, where: Paused | undefined): void {
  const stack =
    where === undefined
      ? { unavailable: { function: 'the loop went on before it could be paused' } }
      : { stack: showFrames(where.frames) }
  asked.log.warn(
    { event: 'stall-confirmed', ...stall, bestEffort: true, ...stack },
    `native code is back after ${formatDurationMs(stall.blockedMs)}; the first stack after it says ${whose(stall)}${whereabouts(stall)}`,
  )
}

const NATIVE = 'native code cannot be paused; the stack comes when it returns'
const NOTHING: { readonly culprit: Culprit | undefined; readonly place: Place | undefined } = {
  culprit: undefined,
  place: undefined,
}

function judge(asked: Investigation, paused: Paused): typeof NOTHING {
  return {
    culprit: nameCulprit({ ...paused, entered: asked.entered() }, asked.owners),
    place: placeOf(paused.frames, asked.owners.ownRoot),
  }
}

/** What nobody can be named for is told as well; a worker with `detect: false` is not. */
function tellsOf(asked: Investigation, culprit: Culprit | undefined): boolean {
  return culprit === undefined || asked.workerOf(culprit.worker)?.detect !== false
}

function tell(asked: Investigation, stall: Stall, more: object, message: string): boolean {
  const left = asked.budget.take(stall.worker ?? '', stall.kind, performance.now())
  if (left === undefined) return false
  asked.log.error({ event: 'stall', ...stall, ...more, ...(left === 0 ? {} : { leftOut: left }) }, message)
  return true
}

async function finish(asked: Investigation, stall: Stall, told: boolean): Promise<Stall> {
  const worker = stall.worker === undefined ? undefined : asked.workerOf(stall.worker)
  // A guess must not end the herd.
  const patienceMs = worker?.eject === true && stall.by !== 'entered' ? endAfterMs(worker) : undefined
  let noteDueMs = asked.blockedMs() + NOTE_EVERY_MS
  while (!asked.over()) {
    if (asked.blockedMs() >= noteDueMs) {
      noteDueMs += NOTE_EVERY_MS
      writeStallNote(asked.noteFile, { ...stall, blockedMs: asked.blockedMs() })
    }
    if (patienceMs !== undefined && asked.blockedMs() >= patienceMs) endProcess(asked, stall)
    await sleep(POLL_MS)
  }
  const blockedMs = asked.blockedMs()
  if (told) {
    const name = stall.worker === undefined ? {} : { worker: stall.worker }
    asked.log.warn(
      { event: 'stall-over', ...name, kind: stall.kind, blockedMs },
      `the loop goes on after ${formatDurationMs(blockedMs)}, held by ${whose(stall)}`,
    )
  }
  return { ...stall, blockedMs }
}

/** What holds the loop for ten times its `after`, and ten seconds at least, never gives it back. */
function endAfterMs(worker: WatchedWorker): number {
  return Math.max(10_000, 10 * worker.afterMs)
}

/** Nothing inside the process can end the code: the next start puts its worker into a process of its own. */
function endProcess(asked: Investigation, stall: Stall): void {
  const blockedMs = asked.blockedMs()
  writeStallNote(asked.noteFile, { ...stall, blockedMs })
  asked.log.fatal(
    { event: 'stall-ended', ...stall, blockedMs },
    `${whose(stall)} does not give the loop back after ${formatDurationMs(blockedMs)}: ending this process, since its config says onStall: 'eject'`,
  )
  process.kill(process.pid, 'SIGKILL')
}

function sentence(stall: Stall): string {
  const duration = formatDurationMs(stall.blockedMs)
  if (stall.kind === 'native')
    return `blocked in native code for ${duration}; worker last entered: ${stall.worker ?? 'none'}`
  return `${whose(stall)} holds the loop for ${duration}${whereabouts(stall)}`
}

function whose(stall: Stall): string {
  return stall.worker === undefined ? 'code of no known worker' : `worker ${stall.worker}`
}

function whereabouts(stall: Stall): string {
  if (stall.file === undefined) return ''
  const call = stall.call === undefined ? '' : `${stall.call} called by `
  return `: ${call}${stall.function} (${stall.file}:${stall.line})`
}

/** Waits until `done`, at most `maxMs`. */
async function until(done: () => boolean, maxMs = Number.POSITIVE_INFINITY): Promise<void> {
  const endAt = performance.now() + maxMs
  while (!done() && performance.now() < endAt) await sleep(POLL_MS)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
