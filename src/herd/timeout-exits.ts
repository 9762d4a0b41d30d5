// The exits of workers that exceed startTimeout or stopTimeout.

import type { ResolvedWorker } from '../config/types.ts'
import type { Exit } from './placement.ts'

export function startTimeoutExit(spec: ResolvedWorker, loading: boolean): Exit {
  const seconds = spec.startTimeoutMs / 1000
  const text = loading
    ? `start timed out: the module was not loaded within ${seconds} s. Raise startTimeout, or load less before run()`
    : `start timed out: ctx.ready() was not called within ${seconds} s. Call it, or raise startTimeout`
  const evidence = {
    reason: 'start-timeout',
    phase: loading ? 'load' : 'ready',
    afterMs: spec.startTimeoutMs,
  }
  return { verdict: 'launch-failed', text, evidence }
}

/** run() ignored its signal. The exit that caused the stop, if any, keeps its verdict. */
export function unstoppedExit(spec: ResolvedWorker, cause: Exit | undefined): Exit {
  const text = `unstopped: run() ignored its signal for ${spec.stopTimeoutMs / 1000} s. Return from it when ctx.signal aborts, or raise stopTimeout`
  const evidence = { ...cause?.evidence, unstopped: true, stopTimeoutMs: spec.stopTimeoutMs }
  return cause === undefined
    ? { verdict: 'stopped', text, evidence }
    : { ...cause, text: `${cause.text}; ${text}`, evidence }
}
