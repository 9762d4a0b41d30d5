// The one error class of byre and the catalogue of its codes. Every error a user can meet carries a stable
// code, one sentence of fact with the actual value, and the remedy.

/** Stable across releases: `BYRE_<AREA>_<WHAT>`. */
export type ErrorCode =
  | 'BYRE_ARGUMENT_INVALID'
  | 'BYRE_AUDIT_CHILD'
  | 'BYRE_BUS_CLOSED'
  | 'BYRE_BUS_OVERFLOW'
  | 'BYRE_BUS_PAYLOAD_INVALID'
  | 'BYRE_BUS_PAYLOAD_TOO_LARGE'
  | 'BYRE_BUS_REQUEST_TIMEOUT'
  | 'BYRE_BUS_TOPIC_INVALID'
  | 'BYRE_BUS_TOPIC_RESERVED'
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
  | 'BYRE_INTERNAL'
  | 'BYRE_PROCESS_EXIT'
  | 'BYRE_PROCESS_SHARED'
  | 'BYRE_SOCKET_IN_USE'
  | 'BYRE_SOCKET_PATH_TOO_LONG'
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
  /** Machine-readable facts behind the sentence; JSON values only, never secrets. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** Anything byre refuses or reports. `message` reads: what cannot be done, the rule, the actual value, the remedy. */
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

/** One thing wrong with an input, with the path of the offending value (`workers.webhook.backoff.base`). */
export interface Problem {
  readonly path: string
  readonly message: string
}

/** Renders all problems of one input at once, one per line, so that the user fixes them in one go. */
export function describeProblems(subject: string, problems: readonly Problem[]): string {
  const lines = problems.map((p) => `  ${p.path === '' ? '(root)' : p.path}: ${p.message}`)
  return `${subject}: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n${lines.join('\n')}`
}

/**
 * Text of anything that was thrown, for logs and evidence. Never throws: a getter or `toString` that throws
 * is named instead, because a worker may reject with a hostile object.
 */
export function describeThrown(thrown: unknown): {
  readonly type: string
  readonly message: string
  readonly stack?: string
} {
  try {
    if (thrown instanceof Error) {
      const stack = typeof thrown.stack === 'string' ? thrown.stack : undefined
      const base = { type: String(thrown.name), message: String(thrown.message) }
      return stack === undefined ? base : { ...base, stack }
    }
    if (typeof thrown === 'string') return { type: 'string', message: thrown }
    if (typeof thrown === 'object' && thrown !== null) {
      const message = (thrown as { message?: unknown }).message
      return { type: 'object', message: typeof message === 'string' ? message : safeJson(thrown) }
    }
    return { type: typeof thrown, message: String(thrown) }
  } catch (error) {
    return { type: typeof thrown, message: `(a value that throws when read: ${safeMessage(error)})` }
  }
}

function safeJson(value: object): string {
  const text = JSON.stringify(value)
  return text === undefined ? Object.prototype.toString.call(value) : text.slice(0, 2048)
}

function safeMessage(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error)
  } catch {
    return 'unprintable'
  }
}
