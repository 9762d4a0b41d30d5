// One stall from its detection to its end: finds the worker and the place, logs both while the loop is still blocked, and
// reports how long it took. Runs in the watching thread for the shared loop, and in the supervisor's loop for threads and
// processes. Loaded with the first stall.

import { formatDurationMs } from '../../base/durations.ts'
import { readTaskSchedstat } from '../../procfs/schedstat.ts'
import type { LineBudget } from '../line-budget.ts'
import { culpritText, framesText, placeOf, placeText, stallText } from './culprit.ts'
import type { Culprit, Frame, Place } from './culprit.ts'
import type { Pause, Paused, Pausing } from './pause.ts'
import type { Stall, WatchedWorker } from './protocol.ts'

/** The part of a Logger that stalls are reported to. */
export interface StallLog {
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Access to the stack of a blocked loop. */
export interface LoopInspector {
  readonly pause: Pause
  /** Prefix of the paths of byre's own code. */
  readonly ownRoot: string
  readonly nameOf: (paused: Paused) => Culprit | undefined
  /** Writes a profile to disk and returns its path; undefined if no worker has stall.profile. */
  readonly keepProfile: ((profile: string) => string) | undefined
}

export interface BlockedLoop {
  /** A string: the reason why its stack cannot be taken. */
  readonly inspector: LoopInspector | string
  readonly workerOf: (name: string) => WatchedWorker | undefined
  /** The culprit without a stack: the worker the loop entered last, or the only one in it. */
  readonly guess: () => Culprit | undefined
  /** Whether the loop answers again or no longer exists. */
  readonly over: () => boolean
  /** Whether the loop ended during the stall. */
  readonly gone: () => boolean
  /** The loop has been blocked for at least this long. */
  readonly blockedMs: () => number
  readonly budget: LineBudget
  readonly log: StallLog
  /** Its name in a sentence. @example 'the loop' */
  readonly name: string
  /** Called when the stall has been investigated, and every second from then on. */
  readonly onProgress: (stall: Stall) => void
  readonly onOver: () => void
  /** Kills a loop that is never released; absent when the stop timeout of the run does that. */
  readonly kill?: (stall: Stall) => void
}

/** JavaScript stops within 60 ms once it has a core: code that has not stopped after this time is native. */
const NATIVE_AFTER_MS = 300
/** A loop still blocked this long after it was paused was not in native code, or has left it. */
const RETURNED_MS = 200
const POLL_MS = 20
/** Precision of the duration in the note on disk. */
const PROGRESS_EVERY_MS = 1000

/** Resolves with the stall when the loop answers again; with undefined when no worker with `detect` blocked it. */
export async function investigate(loop: BlockedLoop): Promise<Stall | undefined> {
  if (!(await blockedUntil(loop, guessedAfterMs(loop)))) return undefined
  const at = Date.now()
  try {
    return typeof loop.inspector === 'string'
      ? await withoutStack(loop, loop.inspector, at)
      : await withStack(loop, loop.inspector, at)
  } finally {
    loop.onOver()
  }
}

async function withStack(
  loop: BlockedLoop,
  inspector: LoopInspector,
  at: number,
): Promise<Stall | undefined> {
  let paused: Paused | undefined
  let native = false
  const { ownRoot, keepProfile } = inspector
  // After native code only the first stack counts: the next one may show code of another worker.
  const usable = (frames: readonly Frame[]): boolean => native || placeOf(frames, ownRoot) !== undefined
  const sampled = (stack: Paused): boolean =>
    keepProfile !== undefined && wantsProfile(loop, explain(inspector, stack).culprit?.worker)
  const pausing = inspector.pause({ usable, onPaused: (stack) => (paused = stack), sampled })
  try {
    if (pausing.refused !== undefined) return await withoutStack(loop, pausing.refused, at)
    await untilScheduled(() => paused !== undefined || loop.over())
    if (paused !== undefined) {
      const stall = await inJavaScript(loop, inspector, paused, at)
      await writeProfile(loop, keepProfile, stall?.worker, pausing)
      return stall
    }
    if (loop.over()) return undefined
    native = true
    return await inNative(loop, inspector, () => paused, at)
  } finally {
    pausing.cancel()
  }
}

/** A larger profile is not written: ten profiles are kept. */
const PROFILE_MAX_BYTES = 4_000_000

/** Writes the profile from the pause to the end of the stall, if the worker has stall.profile. */
async function writeProfile(
  loop: BlockedLoop,
  keepProfile: LoopInspector['keepProfile'],
  worker: string | undefined,
  pausing: Pausing,
): Promise<void> {
  if (keepProfile === undefined || !wantsProfile(loop, worker)) return
  const text = JSON.stringify(await pausing.profile())
  if (text === undefined || text.length > PROFILE_MAX_BYTES) {
    const bytes = text === undefined ? {} : { profileBytes: text.length, limitBytes: PROFILE_MAX_BYTES }
    loop.log.warn({ event: 'stall-profile-dropped', worker, ...bytes }, 'no profile of the stall was kept')
    return
  }
  try {
    const file = keepProfile(text)
    loop.log.warn({ event: 'stall-profile', worker, file }, 'a profile of the stall was written')
  } catch (error) {
    loop.log.error(
      { event: 'stall-profile-dropped', worker, why: String(error) },
      'the profile of the stall could not be written',
    )
  }
}

function wantsProfile(loop: BlockedLoop, worker: string | undefined): boolean {
  return worker !== undefined && loop.workerOf(worker)?.profile === true
}

/** The worker entered last may have a longer stall.after than the shortest of the herd. */
function guessedAfterMs(loop: BlockedLoop): number {
  const guess = loop.guess()
  const worker = guess === undefined ? undefined : loop.workerOf(guess.worker)
  return worker?.afterMs ?? 0
}

async function blockedUntil(loop: BlockedLoop, blockedMs: number): Promise<boolean> {
  while (!loop.over() && loop.blockedMs() < blockedMs) await sleep(POLL_MS)
  return !loop.over()
}

async function inJavaScript(
  loop: BlockedLoop,
  inspector: LoopInspector,
  paused: Paused,
  at: number,
): Promise<Stall | undefined> {
  const { culprit, place } = explain(inspector, paused)
  const afterMs = culprit === undefined ? undefined : loop.workerOf(culprit.worker)?.afterMs
  if (!(await blockedUntil(loop, afterMs ?? 0))) return undefined
  const stall: Stall = { kind: 'javascript', blockedMs: loop.blockedMs(), at, ...culprit, ...place }
  loop.onProgress(stall)
  const logged = isReported(loop, culprit) && logStall(loop, stall, { stack: framesText(paused.frames) })
  return finish(loop, stall, logged)
}

/** The loop cannot be paused: only the guessed worker and the duration are known. */
async function withoutStack(loop: BlockedLoop, why: string, at: number): Promise<Stall | undefined> {
  if (loop.over()) return undefined
  const stall: Stall = { blockedMs: loop.blockedMs(), at, ...loop.guess() }
  loop.onProgress(stall)
  return finish(loop, stall, logStall(loop, stall, { unavailable: { function: why } }))
}

async function inNative(
  loop: BlockedLoop,
  inspector: LoopInspector,
  paused: () => Paused | undefined,
  at: number,
): Promise<Stall | undefined> {
  const guess = loop.guess()
  const first: Stall = { kind: 'native', blockedMs: loop.blockedMs(), at, ...guess }
  loop.onProgress(first)
  const logged = isReported(loop, guess) && logStall(loop, first, { unavailable: unavailableIn(guess) })
  await until(() => paused() !== undefined || loop.over())
  const stack = paused()
  const { culprit, place } = stack === undefined ? UNKNOWN : explain(inspector, stack)
  const stall: Stall = { ...first, ...culprit, ...place, blockedMs: loop.blockedMs() }
  if (logged && !loop.gone()) logConfirmed(loop, stall, stack)
  if (stack !== undefined) {
    await until(loop.over, RETURNED_MS)
    if (!loop.over()) return await inJavaScript(loop, inspector, stack, at)
  }
  return finish(loop, stall, logged)
}

function logConfirmed(loop: BlockedLoop, stall: Stall, paused: Paused | undefined): void {
  const stack =
    paused === undefined
      ? { unavailable: { function: 'the loop continued before it could be paused' } }
      : { stack: framesText(paused.frames) }
  loop.log.warn(
    { event: 'stall-confirmed', ...stall, bestEffort: true, ...stack },
    `native code returned after ${formatDurationMs(stall.blockedMs)}; the first stack after it shows ${culpritText(stall)}${placeText(stall)}`,
  )
}

const NATIVE = 'native code cannot be paused; its stack is taken when it returns'

/** Only Node 24 and later report which worker's code a turn enters without a cost for each promise. */
function unavailableIn(guess: Culprit | undefined): Readonly<Record<string, string>> {
  return guess === undefined ? { function: NATIVE, worker: NATIVE } : { function: NATIVE }
}

const UNKNOWN: { readonly culprit: Culprit | undefined; readonly place: Place | undefined } = {
  culprit: undefined,
  place: undefined,
}

function explain({ nameOf, ownRoot }: LoopInspector, paused: Paused): typeof UNKNOWN {
  return { culprit: nameOf(paused), place: placeOf(paused.frames, ownRoot) }
}

/** Stalls without a culprit are reported; those of a worker with `detect: false` are not. */
function isReported(loop: BlockedLoop, culprit: Culprit | undefined): boolean {
  return culprit === undefined || loop.workerOf(culprit.worker)?.detect !== false
}

/** Returns false when the budget of the worker is used up. */
function logStall(loop: BlockedLoop, stall: Stall, more: object): boolean {
  const leftOut = loop.budget.take(stall.worker ?? '', stall.kind ?? 'unseen', performance.now())
  if (leftOut === undefined) return false
  const fields = { event: 'stall', ...stall, ...more, ...(leftOut === 0 ? {} : { leftOut }) }
  loop.log.error(fields, stallText(stall, loop.name))
  return true
}

async function finish(loop: BlockedLoop, stall: Stall, logged: boolean): Promise<Stall> {
  const worker = stall.worker === undefined ? undefined : loop.workerOf(stall.worker)
  // A guess must not kill the herd.
  const killMs = worker?.eject === true && stall.by !== 'entered' ? killAfterMs(worker) : undefined
  let dueMs = loop.blockedMs() + PROGRESS_EVERY_MS
  while (!loop.over()) {
    if (loop.blockedMs() >= dueMs) {
      dueMs += PROGRESS_EVERY_MS
      loop.onProgress({ ...stall, blockedMs: loop.blockedMs() })
    }
    if (killMs !== undefined && loop.blockedMs() >= killMs)
      loop.kill?.({ ...stall, blockedMs: loop.blockedMs() })
    await sleep(POLL_MS)
  }
  const blockedMs = loop.blockedMs()
  if (logged && !loop.gone()) {
    const name = stall.worker === undefined ? {} : { worker: stall.worker }
    const kind = stall.kind === undefined ? {} : { kind: stall.kind }
    loop.log.warn(
      { event: 'stall-over', ...name, ...kind, blockedMs },
      `${loop.name} responds again after ${formatDurationMs(blockedMs)}; it was blocked by ${culpritText(stall)}`,
    )
  }
  return { ...stall, blockedMs }
}

/** Code that blocks the loop for ten times `stall.after`, and for at least ten seconds, never releases it. */
function killAfterMs(worker: WatchedWorker): number {
  return Math.max(10_000, 10 * worker.afterMs)
}

/** A thread without a core for longer than this is still assumed to be in native code. */
const STARVED_MAX_MS = 3000

/** Waits until `done`, or until the main thread has been running or asleep for NATIVE_AFTER_MS: without a core it cannot stop. */
async function untilScheduled(done: () => boolean): Promise<void> {
  const waitedMs = (): number | undefined => {
    const schedstat = readTaskSchedstat('self', process.pid) // the main thread's id is that of its process
    return schedstat.ok ? schedstat.value.waitMs : undefined
  }
  const before = waitedMs()
  const starvedMs = (): number => {
    const now = waitedMs()
    return now === undefined || before === undefined ? 0 : Math.min(STARVED_MAX_MS, now - before)
  }
  for (let polledMs = 0; polledMs < NATIVE_AFTER_MS + starvedMs() && !done(); polledMs += POLL_MS)
    await sleep(POLL_MS)
}

/** Waits until `done`, for at most `maxMs` counted in polls: on a busy machine polls are late, and so is the awaited event. */
async function until(done: () => boolean, maxMs = Number.POSITIVE_INFINITY): Promise<void> {
  for (let leftMs = maxMs; leftMs > 0 && !done(); leftMs -= POLL_MS) await sleep(POLL_MS)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
