// The stack of a blocked loop, taken through the inspector from another thread: JavaScript and regular expressions stop within
// milliseconds, native code when it returns. Loaded with the first stall.

import { Session } from 'node:inspector'
import type { Debugger, Profiler, Runtime } from 'node:inspector'
import { describeThrown } from '../../base/errors.ts'
import type { Frame } from './culprit.ts'
import { CONTEXT_QUERY } from './long-turn.ts'

export interface Paused {
  readonly frames: readonly Frame[]
  /** The worker in whose async context the loop was paused. */
  readonly context: string | undefined
}

/** A connection to the inspector of the main thread. */
interface Channel {
  /** `reply` is called with the result, or with undefined when the inspector refused. Never throws. */
  post(method: string, params?: object, reply?: (result: unknown) => void): void
  /** Idempotent. A paused loop continues. */
  close(): void
}

const FRAMES_MAX = 64

/** A stack that is not usable is requested again up to this many times, at this interval. */
const RETRIES_MAX = 8
const RETRY_MS = 3

/** A loop that stays blocked for longer is not sampled any further. */
const PROFILE_MAX_MS = 10_000
const PROFILE_INTERVAL_US = 1000

export interface Pausing {
  /** Why the pause could not be requested; undefined when it was. */
  readonly refused: string | undefined
  /** Cancels the request, or ends the session after the pause. */
  readonly cancel: () => void
  /** Stops the profiler and resolves with the profile; undefined when none was begun. */
  readonly profile: () => Promise<Profiler.Profile | undefined>
}

export interface PauseRequest {
  /** Whether a stack is usable: between two microtasks nothing of the worker is on it. Others are requested again. */
  readonly usable: (frames: readonly Frame[]) => boolean
  readonly onPaused: (paused: Paused) => void
  /** Whether V8's CPU profiler runs from the pause until `cancel`, for at most 10 s. */
  readonly sampled: (paused: Paused) => boolean
}

/** Requests a pause of the loop, calls `onPaused` with its stack, and lets it continue at once. */
export type Pause = (request: PauseRequest) => Pausing

/** Pauses the main thread from another one. */
export const pauseMainLoop: Pause = (request) => {
  const { usable, onPaused, sampled } = request
  const urls = new Map<string, string>()
  let channel: Channel | undefined
  let open = true
  let retries = 0
  let sampling: Sampling | undefined
  const close = (): void => {
    if (!open) return
    open = false
    sampling?.clearTimer()
    // Not inside a callback of the session: disconnecting there can hang.
    setImmediate(() => channel?.close())
  }
  const stopped = (on: Channel, { callFrames }: Debugger.PausedEventDataType): void => {
    const frames = framesOf(callFrames, urls)
    if (!usable(frames) && retries++ < RETRIES_MAX) {
      on.post('Debugger.resume')
      setTimeout(() => open && on.post('Debugger.pause'), RETRY_MS)
      return
    }
    askContext(on, (context) => {
      if (!open) return // cancelled meanwhile: this answer comes from a closed session
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
  return { refused: begin(), cancel: close, profile: async () => sampling?.end() }
}

/** `onEvent` is called with each event of the inspector. */
function connectMain(onEvent: (method: string, params: unknown) => void): Channel {
  const session = new Session()
  session.connectToMainThread()
  session.on('inspectorNotification', ({ method, params }) => onEvent(method, params))
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

  /** Resolves to undefined when the session is closed as well. Never rejects, because the timer's call is not awaited. */
  end(): Promise<Profiler.Profile | undefined> {
    this.clearTimer()
    this.#profile ??= new Promise<Profiler.Profile | undefined>((resolve) =>
      this.#channel.post('Profiler.stop', undefined, (reply) =>
        resolve((reply as Profiler.StopReturnType | undefined)?.profile),
      ),
    ).catch(() => undefined) // the profile is an extra: without a session the stall is reported without it
    return this.#profile
  }

  /** Closing the session stops the profiler in V8; a timer that fires after that would end the thread. */
  clearTimer(): void {
    clearTimeout(this.#timer)
  }
}

function askContext(channel: Channel, answer: (context: string | undefined) => void): void {
  channel.post('Runtime.evaluate', CONTEXT_QUERY, (reply) => {
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
