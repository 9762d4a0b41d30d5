// The error class of byre and the list of its error codes. Every error that reaches a user carries a stable code, the
// fact with the actual value, and the remedy.

import { isNativeError } from 'node:util/types'

/** Codes have the form `BYRE_<AREA>_<WHAT>` and are stable across releases. */
export type ErrorCode =
  | 'BYRE_ADMISSION_FULL'
  | 'BYRE_ARGUMENT_INVALID'
  | 'BYRE_AUDIT_CHILD'
  | 'BYRE_AUDIT_ENTRY'
  | 'BYRE_AUDIT_FLOOR'
  | 'BYRE_AUDIT_FLOOR_FILE'
  | 'BYRE_AUDIT_GUARD'
  | 'BYRE_AUDIT_INTERRUPTED'
  | 'BYRE_AUDIT_WITNESS'
  | 'BYRE_AUDIT_LAZY'
  | 'BYRE_AUDIT_RUNTIME'
  | 'BYRE_AUDIT_TARGET'
  | 'BYRE_BUS_CLOSED'
  | 'BYRE_BUS_OVERFLOW'
  | 'BYRE_BUS_PAYLOAD_INVALID'
  | 'BYRE_BUS_PAYLOAD_TOO_LARGE'
  | 'BYRE_BUS_REFUSED'
  | 'BYRE_BUS_REQUEST_TIMEOUT'
  | 'BYRE_BUS_TOPIC_INVALID'
  | 'BYRE_BUS_TOPIC_RESERVED'
  | 'BYRE_BUS_UNAVAILABLE'
  | 'BYRE_BUS_UNSUPPORTED'
  | 'BYRE_CODEC_INVALID'
  | 'BYRE_CONFIG_INVALID'
  | 'BYRE_CONFIG_NOT_FOUND'
  | 'BYRE_CONTROL_BUSY'
  | 'BYRE_CONTROL_NOT_FOUND'
  | 'BYRE_CONTROL_REFUSED'
  | 'BYRE_CONTROL_TOO_LARGE'
  | 'BYRE_CONTROL_UNREACHABLE'
  | 'BYRE_CREDENTIAL_MISSING'
  | 'BYRE_FOLDER_UNUSABLE'
  | 'BYRE_IMPORTS_UNREAD'
  | 'BYRE_INTERNAL'
  | 'BYRE_PROCESS_EXIT'
  | 'BYRE_PROCESS_SHARED'
  | 'BYRE_SOCKET_IN_USE'
  | 'BYRE_SOCKET_PATH_TOO_LONG'
  | 'BYRE_SWAP_JOURNAL'
  | 'BYRE_SWAP_OPEN'
  | 'BYRE_SWAP_REFUSED'
  | 'BYRE_SWAP_STUCK'
  | 'BYRE_SWAP_UNITS'
  | 'BYRE_SYSTEMD'
  | 'BYRE_UNITS_FOREIGN'
  | 'BYRE_UNITS_TEXT'
  | 'BYRE_UNSUPPORTED'
  | 'BYRE_USAGE'
  | 'BYRE_WORKER_DUPLICATE'
  | 'BYRE_WORKER_LOAD'
  | 'BYRE_WORKER_SHAPE'
  | 'BYRE_WORKER_START_TIMEOUT'
  | 'BYRE_WORKER_STOPPED'
  | 'BYRE_WORKER_UNKNOWN'

export interface ByreErrorOptions {
  readonly cause?: unknown
  /** The facts of the message in machine-readable form: JSON values only, never secrets. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** An error that byre raises. `message` states what failed, the rule, the actual value and the remedy, in this order. */
export class ByreError extends Error {
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: ByreErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details
  }
}
Object.defineProperty(ByreError.prototype, 'name', { value: 'ByreError', configurable: true, writable: true })

/** A problem with an input. `path` locates the invalid value (`workers.webhook.backoff.base`). */
export interface Problem {
  readonly path: string
  readonly message: string
}

/** Formats all problems of an input, one per line, so that the user can fix them together. */
export function describeProblems(subject: string, problems: readonly Problem[]): string {
  const lines = problems.map((p) => `  ${p.path === '' ? '(root)' : p.path}: ${p.message}`)
  return `${subject}: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n${lines.join('\n')}`
}

/** Throws BYRE_ARGUMENT_INVALID with all `problems` of a call. Does nothing when there are none. */
export function refuse(subject: string, problems: readonly Problem[]): void {
  if (problems.length === 0) return
  throw new ByreError('BYRE_ARGUMENT_INVALID', describeProblems(subject, problems), { details: { problems } })
}

// Captured at import: a worker may replace it.
const { stringify: originalStringify } = JSON

/** The longest message and stack that describeThrown returns, in characters. Longer ones are cut, and the cut is marked. */
const MESSAGE_LENGTH = 2048
const STACK_LENGTH = 16_384

/**
 * Describes any thrown value for logs and evidence. The text is bounded and the function never throws: a worker may
 * reject with a hostile object, so a getter or `toString` that throws is reported instead. Errors of other realms count
 * as errors.
 */
export function describeThrown(thrown: unknown): {
  readonly type: string
  readonly message: string
  readonly stack?: string
} {
  try {
    if (isNativeError(thrown) || thrown instanceof Error) {
      const base = {
        type: cut(String(thrown.name), 256),
        message: cut(String(thrown.message), MESSAGE_LENGTH),
      }
      const stack = stackOf(thrown)
      return typeof stack === 'string' ? { ...base, stack: cutStack(stack, String(thrown.message)) } : base
    }
    if (typeof thrown === 'string') return { type: 'string', message: cut(thrown, MESSAGE_LENGTH) }
    if (typeof thrown === 'object' && thrown !== null) {
      const message = (thrown as { message?: unknown }).message
      return {
        type: 'object',
        message: typeof message === 'string' ? cut(message, MESSAGE_LENGTH) : safeJson(thrown),
      }
    }
    return { type: typeof thrown, message: cut(String(thrown), MESSAGE_LENGTH) }
  } catch (error) {
    return { type: typeof thrown, message: `(a value that throws when read: ${safeMessage(error)})` }
  }
}

/** Read separately: when Error.prepareStackTrace throws, only the stack is lost and not the message. */
function stackOf(error: Error): string | undefined {
  try {
    return error.stack
  } catch {
    return undefined
  }
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`
}

/** A stack begins with the message. A long message is shortened there, so that the frames are kept. */
function cutStack(stack: string, message: string): string {
  if (stack.length <= STACK_LENGTH) return stack
  const frames = stack.slice(Math.max(0, stack.indexOf(message)) + message.length)
  return message.length <= MESSAGE_LENGTH || !stack.includes(message)
    ? cut(stack, STACK_LENGTH)
    : cut(`${cut(message, MESSAGE_LENGTH)}${frames}`, STACK_LENGTH)
}

function safeJson(value: object): string {
  const text = originalStringify(value)
  return text === undefined ? Object.prototype.toString.call(value) : cut(text, MESSAGE_LENGTH)
}

function safeMessage(error: unknown): string {
  try {
    return cut(error instanceof Error ? String(error.message) : String(error), MESSAGE_LENGTH)
  } catch {
    return 'unprintable'
  }
}
