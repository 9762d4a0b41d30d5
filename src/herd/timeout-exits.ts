// The exits byre itself declares when a worker takes too long to start or to stop.

import type { ResolvedWorker } from '../config/types.ts'
import type { Exit } from './placement.ts'

export function startTimeoutExit(spec: ResolvedWorker, loading: boolean): Exit {
  const seconds = spec.startTimeoutMs / 1000
  const text = loading
    ? `start timed out: module not loaded after ${seconds} s. Raise startTimeout, or let it load less before run()`
    : `start timed out: ctx.ready() not called within ${seconds} s. Call it, or raise startTimeout`
  const evidence = {
    reason: 'start-timeout',
    phase: loading ? 'load' : 'ready',
    afterMs: spec.startTimeoutMs,
  }
  return { verdict: 'launch-failed', text, evidence }
}

/** run() ignored its signal: it is let go of, and named. What caused the stop stays the verdict. */
export function unstoppedExit(spec: ResolvedWorker, cause: Exit | undefined): Exit {
  const text = `unstopped: run() ignored its signal for ${spec.stopTimeoutMs / 1000} s. Return from it when ctx.signal aborts, or raise stopTimeout`
  const evidence = { ...cause?.evidence, unstopped: true, stopTimeoutMs: spec.stopTimeoutMs }
  return cause === undefined
    ? { verdict: 'stopped', text, evidence }
    : { ...cause, text: `${cause.text}; ${text}`, evidence }
}
