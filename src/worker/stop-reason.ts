// Why a worker is being stopped: the value of `ctx.signal.reason`.

export type StopKind =
  | 'stop' // an operator or the API asked
  | 'restart'
  | 'reload' // its config entry changed or went away
  | 'shutdown' // the supervisor is going down
  | 'sleep' // an idle worker gives its memory back
  | 'move'
  | 'start-timeout'
  | 'process-exit' // it called process.exit
  | 'failed' // a stray error was charged to it
  | 'lease-lost'

/** An Error whose name is 'AbortError', so that what throws `signal.reason` on reads as an abort everywhere. */
export class StopReason extends Error {
  readonly kind: StopKind
  /** Who asked: 'operator', 'supervisor', 'SIGTERM', ... */
  readonly by: string

  constructor(kind: StopKind, by: string, message: string = `Worker is stopping (${kind}, by ${by})`) {
    super(message)
    this.kind = kind
    this.by = by
  }

  /** DOMException's name for aborts: what fetch, timers/promises and most libraries test for. */
  override get name(): string {
    return 'AbortError'
  }

  get code(): string {
    return 'ABORT_ERR'
  }
}
