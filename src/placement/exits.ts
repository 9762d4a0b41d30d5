// How a run ended, told as an Exit: the verdict, one sentence, and the evidence. Whatever was thrown may be hostile.

import { describeThrown } from '../base/errors.ts'
import { LoadError } from '../worker/load.ts'
import type { ExitCall } from '../ownership/run-scope.ts'
import type { Exit, Instance, LaunchRequest } from '../herd/placement.ts'

export const DONE: Exit = { verdict: 'done', text: 'run() resolved', evidence: {} }

/** An error of the run that nobody caught. */
export function strayExit(error: unknown, via: string, run: number): Exit {
  const { type, message } = describeThrown(error)
  const text = `${whatStrayed(via)}: ${type}: ${message}`
  return { verdict: 'threw-stray', text, evidence: { via, run, ...evidenceOf(error) } }
}

function whatStrayed(via: string): string {
  if (via === 'unhandledRejection') return 'stray rejection'
  return via === 'uncaughtException' ? 'stray throw' : `stray throw in ${via}`
}

/** run() rejected or threw; after the abort, with the signal's reason or an AbortError, it is a stop. */
export function rejectedExit(error: unknown, signal: AbortSignal): Exit {
  if (signal.aborted && (error === signal.reason || isAbort(error)))
    return { verdict: 'stopped', text: 'run() ended with its signal', evidence: {} }
  const { type, message } = describeThrown(error)
  return { verdict: 'failed', text: `run() rejected: ${type}: ${message}`, evidence: evidenceOf(error) }
}

/** The module could not be loaded. The evidence is that of what was thrown, not of byre's sentence about it. */
export function loadExit(error: unknown): Exit {
  const { stack, ...evidence } = evidenceOf(causeOf(error) ?? error)
  const { code, needs } = error instanceof LoadError ? error : { code: undefined, needs: undefined }
  // A module without run() is the user's to mend; where byre noticed helps nobody.
  const misshapen = code === 'BYRE_WORKER_SHAPE'
  return {
    verdict: 'launch-failed',
    text: describeThrown(error).message,
    evidence: misshapen || stack === undefined ? evidence : { ...evidence, stack },
    ...(needs === undefined ? {} : { needs }),
  }
}

/** It called process.exit, or sent itself a signal. */
export function exitCalled({ code, how, stack }: ExitCall): Exit {
  const evidence = { code, call: how, ...(stack === undefined ? {} : { stack }) }
  return { verdict: code === 0 ? 'done' : 'failed', text: `it called ${how}`, evidence }
}

const CAUSES_MAX = 5
const CODE_LENGTH = 128

/** Type, message, stack, code and the chain of causes (at most 5); hostile values are named instead of read. */
export function evidenceOf(error: unknown): Record<string, unknown> {
  const seen: unknown[] = [error]
  for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
    if (seen.length > CAUSES_MAX || seen.includes(cause)) break
    seen.push(cause)
  }
  const causes = seen.slice(1).map((cause) => {
    const { type, message } = describeThrown(cause)
    return `${type}: ${message}`
  })
  const code = codeOf(error)
  return {
    ...describeThrown(error),
    ...(code === undefined ? {} : { code }),
    ...(causes.length === 0 ? {} : { causes }),
  }
}

/** The `cause` of an Error. Never throws. */
export function causeOf(error: unknown): unknown {
  try {
    return error instanceof Error ? error.cause : undefined
  } catch {
    return undefined // a `cause` getter that throws ends the chain
  }
}

/** What Node and most libraries put on an Error to tell it from others. */
function codeOf(error: unknown): string | number | undefined {
  try {
    const code = (error as { code?: unknown } | null | undefined)?.code
    if (typeof code === 'string') return code.slice(0, CODE_LENGTH)
    return typeof code === 'number' ? code : undefined
  } catch {
    return undefined
  }
}

function isAbort(error: unknown): boolean {
  try {
    return (error as { name?: unknown } | null)?.name === 'AbortError'
  } catch {
    return false
  }
}

/** What cannot even be asked for (an argument the kernel refuses, no memory for a thread) ends like what fails later. */
export function neverBegan(kind: 'thread' | 'process', request: LaunchRequest, error: unknown): Instance {
  const { type, message } = describeThrown(error)
  const text = `its ${kind} could not be started: ${type}: ${message}`
  process.nextTick(() =>
    request.events.ended({ verdict: 'launch-failed', text, evidence: { ...describeThrown(error) } }),
  )
  return { run: () => {}, abort: () => {}, release: () => ({ timers: [], listeners: [], servers: [] }) }
}
