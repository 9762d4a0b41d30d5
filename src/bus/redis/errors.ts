// Errors of the Redis bus. Texts of the server and of ioredis are redacted, and their error objects are never passed on:
// ioredis attaches the command with its arguments, including those of AUTH.

import { ByreError, describeThrown } from '../../base/errors.ts'
import type { Redact } from '../../base/redact.ts'

/** Describes an error in one line of at most 300 characters, without secrets. */
export function describeFailure(error: unknown, redact: Redact): string {
  const { message } = describeThrown(error)
  // for a host with several addresses Node reports an AggregateError without a message
  const text = message === '' ? aggregated(error) : message
  return redact(text.split('\n', 1)[0] ?? '').slice(0, 300)
}

/** Whether the server answered with an error, as opposed to a connection that broke. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}

/** Whether the server refused the command because another server is the master now. The command had no effect. */
export function isMoved(error: unknown): boolean {
  return isRefusal(error) && /^(MOVED|READONLY|CLUSTERDOWN|MASTERDOWN)\b/.test((error as Error).message)
}

/** BYRE_BUS_UNAVAILABLE. `sent` false: the message was not sent; 'unknown': it may have been delivered. */
export function unavailable(
  topic: string,
  why: string,
  sent: false | 'unknown',
  verb: string = 'publish to',
): ByreError {
  const outcome = sent === false ? 'It was not sent.' : 'It may have been delivered.'
  return new ByreError(
    'BYRE_BUS_UNAVAILABLE',
    `Cannot ${verb} '${topic}': ${why}. ${outcome} Retry when the server is reachable, or treat it as lost.`,
    { details: { topic, sent } },
  )
}

/** BYRE_BUS_REFUSED: the server answered with an error. `answer` must be redacted. */
export function refused(verb: string, name: string, answer: string): ByreError {
  return new ByreError(
    'BYRE_BUS_REFUSED',
    `Cannot ${verb} '${name}': the Redis server answered "${answer}". Check its ACL and configuration.`,
    { details: { topic: name, answer } },
  )
}

function aggregated(error: unknown): string {
  const errors = (error as { errors?: unknown }).errors
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined
  const { code } = error as { code?: string }
  return first === undefined ? (code ?? 'no reason given') : describeThrown(first).message
}
