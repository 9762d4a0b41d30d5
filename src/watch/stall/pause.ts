// The stack of a blocked loop, taken through the inspector from outside it: JavaScript and regular expressions stop
// within milliseconds, native code when it returns. Loaded with the first stall.

import { Session } from 'node:inspector'
import type { Debugger, Profiler, Runtime } from 'node:inspector'
import { describeThrown } from '../../base/errors.ts'
import type { Frame } from './name-culprit.ts'
import { QUESTION } from './long-turn.ts'

export interface Paused {
  readonly frames: readonly Frame[]
  /** The worker in whose async context it was paused. */
  readonly context: string | undefined
}

/** A connection to the inspector of one loop. */
interface Channel {
  /** `reply` gets the result, undefined when it was refused. Never throws. */
  post(method: string, params?: object, reply?: (result: unknown) => void): void
  /** Idempotent. The loop goes on, if it was paused. */
  close(): void
}

const FRAMES_MAX = 64

/** A stack that was of no use is asked for again so often, this much later. */
const AGAIN_MAX = 8
const AGAIN_MS = 3

/** A loop that is held for longer is sampled no longer. */
const PROFILE_MAX_MS = 10_000
const PROFILE_INTERVAL_US = 1000

export interface Pausing {
  /** Why the loop cannot be asked to stop; undefined when it was. */
  readonly refused: string | undefined
  /** Takes the request back, whenever that is. */
  readonly takeBack: () => void
  /** Ends the profile and gives it; undefined when none was begun. */
  readonly profile: () => Promise<Profiler.Profile | undefined>
}

export interface PauseRequest {
  /** A stack that is not (between two microtasks there is nothing of the worker on it) is asked for again. */
  readonly wanted: (frames: readonly Frame[]) => boolean
  readonly onPaused: (paused: Paused) => void
  /** V8's CPU profiler runs from there on, until the request is taken back and for 10 s at most. */
  readonly sampled: (paused: Paused) => boolean
}

/** Asks a loop to stop, calls `onPaused` with where it did, and lets it go on at once. */
export type Pause = (request: PauseRequest) => Pausing

/** The main thread's, from another one. */
export const pauseMainLoop: Pause = (request) => {
  const { wanted, onPaused, sampled } = request
  const urls = new Map<string, string>()
  let channel: Channel | undefined
  let open = true
  let tries = 0
  let sampling: Sampling | undefined
  const close = (): void => {
    if (!open) return
    open = false
    sampling?.forget()
    // Not inside a callback of the session: disconnecting there can hang.
    setImmediate(() => channel?.close())
  }
  const stopped = (on: Channel, { callFrames }: Debugger.PausedEventDataType): void => {
    const frames = framesOf(callFrames, urls)
    if (!wanted(frames) && tries++ < AGAIN_MAX) {
      on.post('Debugger.resume')
      setTimeout(() => open && on.post('Debugger.pause'), AGAIN_MS)
      return
    }
    askContext(on, (context) => {
      if (!open) return // taken back meanwhile: this is the answer of a session that is gone
      const paused = { frames, context }
      if (sampled(paused)) sampling = new Sampling(on)
      on.post('Debugger.resume')
      if (sampling === undefined) close()
      else on.post('Debugger.disable')
      onPaused(paused)
    })
  }
  const begin = (): string | undefined => {
    try {
      const on = (channel = connectMain((method, params) => {
        if (method === 'Debugger.scriptParsed') {
          const { scriptId, url } = params as Debugger.ScriptParsedEventDataType
          urls.set(scriptId, url)
        } else if (method === 'Debugger.paused') stopped(on, params as Debugger.PausedEventDataType)
      }))
      on.post('Debugger.enable')
      on.post('Debugger.pause')
      return undefined
    } catch (error) {
      return describeThrown(error).message
    }
  }
  return { refused: begin(), takeBack: close, profile: async () => sampling?.end() }
}

/** `heard` gets the inspector's events. */
function connectMain(heard: (method: string, params: unknown) => void): Channel {
  const session = new Session()
  session.connectToMainThread()
  session.on('inspectorNotification', ({ method, params }) => heard(method, params))
  return channelOf(session)
}

/** The session itself as a channel. */
function channelOf(session: Session): Channel {
  let open = true
  return {
    post(method, params, reply) {
      if (!open) return reply?.(undefined)
      session.post(method, params, (error: Error | null, result?: object) =>
        reply?.(error === null ? result : undefined),
      )
    },
    close() {
      if (!open) return
      open = false
      session.disconnect()
    },
  }
}

class Sampling {
  readonly #channel: Channel
  readonly #timer: NodeJS.Timeout
  #profile: Promise<Profiler.Profile | undefined> | undefined

  constructor(channel: Channel) {
    this.#channel = channel
    channel.post('Profiler.enable')
    channel.post('Profiler.setSamplingInterval', { interval: PROFILE_INTERVAL_US })
    channel.post('Profiler.start')
    this.#timer = setTimeout(() => void this.end(), PROFILE_MAX_MS)
  }

  /** Undefined as well when the session is gone; never rejects: nobody waits for what the timer ends. */
  end(): Promise<Profiler.Profile | undefined> {
    this.forget()
    this.#profile ??= new Promise<Profiler.Profile | undefined>((resolve) =>
      this.#channel.post('Profiler.stop', undefined, (reply) =>
        resolve((reply as Profiler.StopReturnType | undefined)?.profile),
      ),
    ).catch(() => undefined) // a profile is an extra: the stall is told without one when the session is gone
    return this.#profile
  }

  /** Disconnecting its session ends it in V8; a timer that outlives the session would end the thread. */
  forget(): void {
    clearTimeout(this.#timer)
  }
}

function askContext(channel: Channel, answer: (context: string | undefined) => void): void {
  channel.post('Runtime.evaluate', QUESTION, (reply) => {
    const value: unknown = (reply as Runtime.EvaluateReturnType | undefined)?.result.value
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
