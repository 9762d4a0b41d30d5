// How a run ended, as an Exit: the verdict, one sentence and the evidence. A thrown value may be hostile, so reading it must
// never throw.

import { describeThrown } from '../base/errors.ts'
import { LoadError } from '../worker/load.ts'
import type { ExitCall } from '../ownership/run-scope.ts'
import type { Exit } from '../herd/placement.ts'

export const DONE: Exit = { verdict: 'done', text: 'run() resolved', evidence: {} }

/** An error of the run that was not caught. */
export function strayExit(error: unknown, via: string, run: number): Exit {
  const { type, message } = describeThrown(error)
  const text = `${whatStrayed(via)}: ${type}: ${message}`
  return { verdict: 'threw-stray', text, evidence: { via, run, ...evidenceOf(error) } }
}

function whatStrayed(via: string): string {
  if (via === 'unhandledRejection') return 'stray rejection'
  return via === 'uncaughtException' ? 'stray throw' : `stray throw in ${via}`
}

/** run() rejected or threw. After the abort, a rejection with the signal's reason or an AbortError counts as a stop. */
export function rejectedExit(error: unknown, signal: AbortSignal): Exit {
  if (signal.aborted && (error === signal.reason || isAbort(error)))
    return { verdict: 'stopped', text: 'run() ended with its signal', evidence: {} }
  const { type, message } = describeThrown(error)
  return { verdict: 'failed', text: `run() rejected: ${type}: ${message}`, evidence: evidenceOf(error) }
}

/** The module could not be loaded. The evidence describes the error that the module threw, not byre's error about it. */
export function loadExit(error: unknown): Exit {
  const { stack, ...evidence } = evidenceOf(causeOf(error) ?? error)
  const { code, needs } = error instanceof LoadError ? error : { code: undefined, needs: undefined }
  // A module without run() is an error of the user: the stack would only show byre's own frames.
  const misshapen = code === 'BYRE_WORKER_SHAPE'
  return {
    verdict: 'launch-failed',
    text: describeThrown(error).message,
    evidence: misshapen || stack === undefined ? evidence : { ...evidence, stack },
    ...(needs === undefined ? {} : { needs }),
  }
}

/** The worker called process.exit, or sent a signal to its own process. */
export function exitCalled({ code, how, stack }: ExitCall): Exit {
  const evidence = { code, call: how, ...(stack === undefined ? {} : { stack }) }
  return { verdict: code === 0 ? 'done' : 'failed', text: `it called ${how}`, evidence }
}

const CAUSES_MAX = 5
const CODE_LENGTH = 128

/** Type, message, stack, code and the chain of causes (at most 5). A value that cannot be read is replaced by a note. */
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

/** The `code` that Node and most libraries set on an Error. */
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
