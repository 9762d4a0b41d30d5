// The stack of a blocked loop, taken from another thread through the inspector: JavaScript and regular expressions stop
// within milliseconds, native code when it returns. Loaded with the first stall.

import { Session } from 'node:inspector'
import type { Debugger, Profiler, Runtime } from 'node:inspector'
import type { Frame } from './name-culprit.ts'
import { CONTEXT_KEY } from './protocol.ts'

export interface Paused {
  readonly frames: readonly Frame[]
  /** The worker in whose async context it was paused. */
  readonly context: string | undefined
}

const FRAMES_MAX = 64

/** A stack that was of no use is asked for again so often, this much later. */
const AGAIN_MAX = 8
const AGAIN_MS = 3

/** A loop that is held for longer is sampled no longer. */
const PROFILE_MAX_MS = 10_000
const PROFILE_INTERVAL_US = 1000

export interface Pausing {
  /** Takes the request back, whenever that is. */
  readonly takeBack: () => void
  /** Ends the profile and gives it; undefined when none was begun. */
  readonly profile: () => Promise<Profiler.Profile | undefined>
}

/**
 * Asks the loop of the main thread to stop, calls `onPaused` with where it did, and lets it go on at once. A stack that
 * is not `wanted` (between two microtasks there is nothing of the worker on it) is asked for again. Where `sampled` says so
 * V8's CPU profiler runs from there on, until the request is taken back and for 10 s at most.
 */
export function pauseMainLoop(
  wanted: (frames: readonly Frame[]) => boolean,
  onPaused: (paused: Paused) => void,
  sampled: (paused: Paused) => boolean,
): Pausing {
  const session = new Session()
  const urls = new Map<string, string>()
  let open = true
  let tries = 0
  let sampling: Sampling | undefined
  const close = (): void => {
    if (!open) return
    open = false
    sampling?.forget()
    // Not inside a callback of the session: disconnecting there can hang.
    setImmediate(() => session.disconnect())
  }
  session.connectToMainThread()
  session.on('Debugger.scriptParsed', ({ params }) => urls.set(params.scriptId, params.url))
  session.on('Debugger.paused', ({ params }) => {
    if (!wanted(framesOf(params.callFrames, urls)) && tries++ < AGAIN_MAX) {
      session.post('Debugger.resume')
      setTimeout(() => open && session.post('Debugger.pause'), AGAIN_MS)
      return
    }
    askContext(session, (context) => {
      if (!open) return // taken back meanwhile: this is the answer of a session that is gone
      const paused = { frames: framesOf(params.callFrames, urls), context }
      if (sampled(paused)) sampling = new Sampling(session)
      session.post('Debugger.resume')
      if (sampling === undefined) close()
      else session.post('Debugger.disable')
      onPaused(paused)
    })
  })
  session.post('Debugger.enable')
  session.post('Debugger.pause')
  return { takeBack: close, profile: async () => sampling?.end() }
}

class Sampling {
  readonly #session: Session
  readonly #timer: NodeJS.Timeout
  #profile: Promise<Profiler.Profile | undefined> | undefined

  constructor(session: Session) {
    this.#session = session
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: PROFILE_INTERVAL_US })
    session.post('Profiler.start')
    this.#timer = setTimeout(() => void this.end(), PROFILE_MAX_MS)
  }

  /** Undefined as well when the session is gone; never rejects: nobody waits for what the timer ends. */
  end(): Promise<Profiler.Profile | undefined> {
    this.forget()
    this.#profile ??= new Promise<Profiler.Profile | undefined>((resolve) =>
      this.#session.post('Profiler.stop', (error: Error | null, reply?: Profiler.StopReturnType) =>
        resolve(error === null ? reply?.profile : undefined),
      ),
    ).catch(() => undefined)
    return this.#profile
  }

  /** Disconnecting its session ends it in V8; a timer that outlives the session would end the thread. */
  forget(): void {
    clearTimeout(this.#timer)
  }
}

function askContext(session: Session, answer: (context: string | undefined) => void): void {
  const ask = {
    expression: `globalThis[Symbol.for(${JSON.stringify(CONTEXT_KEY)})]?.()`,
    returnByValue: true,
    silent: true,
  }
  session.post('Runtime.evaluate', ask, (error, reply?: Runtime.EvaluateReturnType) => {
    const value: unknown = error === null ? reply?.result.value : undefined
    answer(typeof value === 'string' ? value : undefined)
  })
}

function framesOf(
  callFrames: readonly Debugger.CallFrame[],
  urls: ReadonlyMap<string, string>,
): readonly Frame[] {
  return callFrames.slice(0, FRAMES_MAX).map(({ functionName, location }) => ({
    function: functionName,
    url: urls.get(location.scriptId) ?? '',
    line: location.lineNumber + 1,
  }))
}
