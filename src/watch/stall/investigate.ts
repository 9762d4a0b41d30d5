// One stall from its discovery to its end: who holds the loop, where, and for how long, told in the log while it lasts.
// Runs in the watching thread for the shared loop, in the supervisor's own loop for those of threads and processes; loaded
// with the first stall.

import { formatDurationMs } from '../../base/durations.ts'
import { readTaskSchedstat } from '../../procfs/schedstat.ts'
import type { LineBudget } from './line-budget.ts'
import { placeOf, showFrames } from './name-culprit.ts'
import type { Culprit, Frame, Place } from './name-culprit.ts'
import type { Pause, Paused, Pausing } from './pause.ts'
import type { Stall, WatchedWorker } from './protocol.ts'

/** What a stall is told to; a Logger. */
export interface StallLog {
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** How the loop is looked into while it is held. */
export interface Inspector {
  readonly pause: Pause
  /** Paths of byre's own code begin with it. */
  readonly ownRoot: string
  readonly nameOf: (paused: Paused) => Culprit | undefined
  /** Keeps the profile of a stall; undefined: no worker asks for it. */
  readonly keep: ((profile: string) => string) | undefined
}

export interface Investigation {
  /** Or why there is none. */
  readonly inspector: Inspector | string
  readonly workerOf: (name: string) => WatchedWorker | undefined
  /** Without a stack: the worker the loop went into last, or the only one in it. */
  readonly guess: () => Culprit | undefined
  /** The loop answers again, or is gone. */
  readonly over: () => boolean
  /** It ended inside the stall. */
  readonly gone: () => boolean
  /** At least this long, now. */
  readonly blockedMs: () => number
  readonly budget: LineBudget
  readonly log: StallLog
  /** As a sentence says it. @example 'the loop' */
  readonly loop: string
  /** Told of the stall as soon as it is known what it is, and every second from there on. */
  readonly note: (stall: Stall) => void
  /** It is over. */
  readonly dropNote: () => void
  /** Ends what never gives the loop back; absent where others see to that. */
  readonly end?: (stall: Stall) => void
}

/** JavaScript stops within 60 ms, once it has a core: what has not stopped by then is native code. */
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
  try {
    return typeof asked.inspector === 'string'
      ? await unseen(asked, asked.inspector, at)
      : await look(asked, asked.inspector, at)
  } finally {
    asked.dropNote()
  }
}

async function look(asked: Investigation, inspector: Inspector, at: number): Promise<Stall | undefined> {
  let paused: Paused | undefined
  let native = false
  const { ownRoot, keep } = inspector
  // After native code only the first stack tells of it: what follows may be somebody else's.
  const wanted = (frames: readonly Frame[]): boolean => native || placeOf(frames, ownRoot) !== undefined
  const sampled = (where: Paused): boolean =>
    keep !== undefined && wantsProfile(asked, judge(inspector, where).culprit?.worker)
  const pausing = inspector.pause({ wanted, onPaused: (where) => (paused = where), sampled })
  try {
    if (pausing.refused !== undefined) return await unseen(asked, pausing.refused, at)
    const known = (): boolean => paused !== undefined || asked.over()
    await untilRan(known)
    if (paused !== undefined) {
      const stall = await inJavaScript(asked, inspector, paused, at)
      await keepProfile(asked, keep, stall?.worker, pausing)
      return stall
    }
    if (asked.over()) return undefined
    native = true
    return await inNative(asked, inspector, () => paused, at)
  } finally {
    pausing.takeBack()
  }
}

/** Larger ones are not written: ten of them are kept. */
const PROFILE_MAX_BYTES = 4_000_000

/** What the loop did from the pause to the end of the stall, if its worker asks for that. */
async function keepProfile(
  asked: Investigation,
  keep: Inspector['keep'],
  worker: string | undefined,
  pausing: Pausing,
): Promise<void> {
  if (keep === undefined || !wantsProfile(asked, worker)) return
  const text = JSON.stringify(await pausing.profile())
  if (text === undefined || text.length > PROFILE_MAX_BYTES) {
    const bytes = text === undefined ? {} : { profileBytes: text.length, limitBytes: PROFILE_MAX_BYTES }
    asked.log.warn({ event: 'stall-profile-dropped', worker, ...bytes }, 'no profile of the stall was kept')
    return
  }
  try {
    asked.log.warn({ event: 'stall-profile', worker, file: keep(text) }, 'a profile of the stall was kept')
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
  const guess = asked.guess()
  const worker = guess === undefined ? undefined : asked.workerOf(guess.worker)
  return worker?.afterMs ?? 0
}

async function blockedUntil(asked: Investigation, blockedMs: number): Promise<boolean> {
  while (!asked.over() && asked.blockedMs() < blockedMs) await sleep(POLL_MS)
  return !asked.over()
}

async function inJavaScript(
  asked: Investigation,
  inspector: Inspector,
  paused: Paused,
  at: number,
): Promise<Stall | undefined> {
  const { culprit, place } = judge(inspector, paused)
  const patience = culprit === undefined ? undefined : asked.workerOf(culprit.worker)?.afterMs
  if (!(await blockedUntil(asked, patience ?? 0))) return undefined
  const stall: Stall = { kind: 'javascript', blockedMs: asked.blockedMs(), at, ...culprit, ...place }
  asked.note(stall)
  const told = tellsOf(asked, culprit)
    ? tell(asked, stall, { stack: showFrames(paused.frames) }, sentence(asked, stall))
    : false
  return finish(asked, stall, told)
}

/** It cannot be paused: who it is remains, and for how long. */
async function unseen(asked: Investigation, why: string, at: number): Promise<Stall | undefined> {
  if (asked.over()) return undefined
  const stall: Stall = { blockedMs: asked.blockedMs(), at, ...asked.guess() }
  asked.note(stall)
  const told = tell(asked, stall, { unavailable: { function: why } }, sentence(asked, stall))
  return finish(asked, stall, told)
}

async function inNative(
  asked: Investigation,
  inspector: Inspector,
  paused: () => Paused | undefined,
  at: number,
): Promise<Stall | undefined> {
  const guess = asked.guess()
  const first: Stall = {
    kind: 'native',
    blockedMs: asked.blockedMs(),
    at,
    ...guess,
  }
  asked.note(first)
  const told = tellsOf(asked, guess)
    ? tell(asked, first, { unavailable: unavailableIn(guess) }, sentence(asked, first))
    : false
  await until(() => paused() !== undefined || asked.over())
  const where = paused()
  const { culprit, place } = where === undefined ? NOTHING : judge(inspector, where)
  const stall: Stall = { ...first, ...culprit, ...place, blockedMs: asked.blockedMs() }
  if (told && !asked.gone()) confirm(asked, stall, where)
  if (where !== undefined) {
    await until(asked.over, BACK_MS)
    if (!asked.over()) return await inJavaScript(asked, inspector, where, at)
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

/** Only Node 24 and later tell, without a price for each promise, which worker's code a turn of the loop enters. */
function unavailableIn(guess: Culprit | undefined): Readonly<Record<string, string>> {
  return guess === undefined ? { function: NATIVE, worker: NATIVE } : { function: NATIVE }
}

const NOTHING: { readonly culprit: Culprit | undefined; readonly place: Place | undefined } = {
  culprit: undefined,
  place: undefined,
}

function judge({ nameOf, ownRoot }: Inspector, paused: Paused): typeof NOTHING {
  return { culprit: nameOf(paused), place: placeOf(paused.frames, ownRoot) }
}

/** What nobody can be named for is told as well; a worker with `detect: false` is not. */
function tellsOf(asked: Investigation, culprit: Culprit | undefined): boolean {
  return culprit === undefined || asked.workerOf(culprit.worker)?.detect !== false
}

function tell(asked: Investigation, stall: Stall, more: object, message: string): boolean {
  const left = asked.budget.take(stall.worker ?? '', stall.kind ?? 'unseen', performance.now())
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
      asked.note({ ...stall, blockedMs: asked.blockedMs() })
    }
    if (patienceMs !== undefined && asked.blockedMs() >= patienceMs)
      asked.end?.({ ...stall, blockedMs: asked.blockedMs() })
    await sleep(POLL_MS)
  }
  const blockedMs = asked.blockedMs()
  if (told && !asked.gone()) {
    const name = stall.worker === undefined ? {} : { worker: stall.worker }
    const kind = stall.kind === undefined ? {} : { kind: stall.kind }
    asked.log.warn(
      { event: 'stall-over', ...name, ...kind, blockedMs },
      `${asked.loop} goes on after ${formatDurationMs(blockedMs)}, held by ${whose(stall)}`,
    )
  }
  return { ...stall, blockedMs }
}

/** What holds the loop for ten times its `after`, and ten seconds at least, never gives it back. */
function endAfterMs(worker: WatchedWorker): number {
  return Math.max(10_000, 10 * worker.afterMs)
}

function sentence(asked: Investigation, stall: Stall): string {
  const duration = formatDurationMs(stall.blockedMs)
  if (stall.kind === 'native' && stall.worker === undefined)
    return `blocked in native code for ${duration}; the worker is known when it returns`
  if (stall.kind === 'native' && stall.by === 'entered')
    return `blocked in native code for ${duration}; worker last entered: ${stall.worker ?? 'none'}`
  const how = stall.kind === 'native' ? ' in native code' : ''
  return `${whose(stall)} holds ${asked.loop} for ${duration}${how}${whereabouts(stall)}`
}

/** @example 'worker reports' */
export function whose(stall: Stall): string {
  return stall.worker === undefined ? 'code of no known worker' : `worker ${stall.worker}`
}

/** @example ': sum (/srv/shop/totals.js:12)'; empty where that is not known. */
function whereabouts(stall: Stall): string {
  if (stall.file === undefined) return ''
  const call = stall.call === undefined ? '' : `${stall.call} called by `
  return `: ${call}${stall.function} (${stall.file}:${stall.line})`
}

/** A thread that gets no core for longer is called native all the same. */
const STARVED_MAX_MS = 3000

/** Waits until `done`, or the main thread has had NATIVE_AFTER_MS on a core or asleep: without a core it cannot stop either. */
async function untilRan(done: () => boolean): Promise<void> {
  const waitedMs = (): number | undefined => {
    const schedstat = readTaskSchedstat('self', process.pid) // the main thread's id is that of its process
    return schedstat.ok ? schedstat.value.waitMs : undefined
  }
  const before = waitedMs()
  const starved = (): number => {
    const now = waitedMs()
    return now === undefined || before === undefined ? 0 : Math.min(STARVED_MAX_MS, now - before)
  }
  for (let polledMs = 0; polledMs < NATIVE_AFTER_MS + starved() && !done(); polledMs += POLL_MS)
    await sleep(POLL_MS)
}

/** Waits until `done`, at most `maxMs` as counted in polls: on a busy machine they come late, and so does what is waited for. */
async function until(done: () => boolean, maxMs = Number.POSITIVE_INFINITY): Promise<void> {
  for (let leftMs = maxMs; leftMs > 0 && !done(); leftMs -= POLL_MS) await sleep(POLL_MS)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
