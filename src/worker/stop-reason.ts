// The reason for a stop, which is the value of `ctx.signal.reason`.

export type StopKind =
  | 'stop' // requested by an operator or the API
  | 'restart'
  | 'reload' // its config entry was changed or removed
  | 'shutdown' // the supervisor stops
  | 'sleep' // an idle worker is stopped to free its memory
  | 'move'
  | 'start-timeout'
  | 'process-exit' // the worker called process.exit
  | 'failed' // a stray error was charged to it
  | 'lease-lost'

/** An Error with the name 'AbortError', so that code which rethrows `signal.reason` is recognized as aborted. */
export class StopReason extends Error {
  readonly kind: StopKind
  /** The source of the request: 'operator', 'supervisor', 'SIGTERM', ... */
  readonly by: string

  constructor(kind: StopKind, by: string, message: string = `Worker is stopping (${kind}, by ${by})`) {
    super(message)
    this.kind = kind
    this.by = by
  }

  /** The name that DOMException uses for aborts. fetch, timers/promises and most libraries check for it. */
  override get name(): string {
    return 'AbortError'
  }

  get code(): string {
    return 'ABORT_ERR'
  }
}
