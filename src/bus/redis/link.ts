// Keeps one connection: opens it, verifies it with a PING, monitors it with further PINGs, and opens a new one when it is
// lost. Each connection has a new ioredis client, so ioredis resends and resubscribes nothing by itself.

import type { Redis } from 'ioredis'
import type { Clock, Random, Timer } from '../../base/clock.ts'
import type { Redact } from '../../base/redact.ts'
import type { BusEvent } from '../bus.ts'
import { describeFailure } from './errors.ts'

export interface LinkOptions {
  readonly name: 'commands' | 'subscriber'
  /** Creates a client that is not connected and does not reconnect. */
  readonly createClient: () => Redis
  readonly clock: Clock
  readonly random: Random
  readonly redact: Redact
  readonly onUp: (client: Redis, loss: Loss | undefined) => void
  readonly onDown: (loss: Loss) => void
  readonly onEvent: (event: BusEvent) => void
}

/** A connection that was lost. */
export interface Loss {
  /** Milliseconds since the epoch when the last answered PING was sent: everything the server sent before was received. */
  readonly from: number
  readonly reason: string
}

/** PING interval, milliseconds. The connection counts as lost when a PING is unanswered as the next one is due. */
const HEARTBEAT_MS = 5000
const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 2000

export class Link {
  readonly #options: LinkOptions
  /** The client that is connecting or in use. */
  #client: Redis | undefined
  #up = false
  #closed = false
  #timer: Timer | undefined
  #attempts = 0
  #safeAt = 0
  #loss: Loss | undefined
  /** The last reported reason, so that an unreachable server is reported once and not at each attempt. */
  #reportedReason: string | undefined
  #lastError: unknown

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** The client while the connection works. Undefined as soon as the socket has ended, even before its event: such a client
   *  rejects each command at once, and a caller that retries in microtasks would never let the loop deliver the event. */
  get client(): Redis | undefined {
    return this.#up && this.#client?.stream.writable === true ? this.#client : undefined
  }

  /** Whether a socket to the server is open. */
  get connected(): boolean {
    return this.#client?.stream?.readyState === 'open'
  }

  open(): void {
    const client = this.#options.createClient()
    this.#client = client
    this.#lastError = undefined
    client.on('error', (error: unknown) => (this.#lastError ??= error))
    client.once('end', () => this.#lost(client, 'the connection was closed'))
    this.#prove(client)
    client.connect().catch((error: unknown) => {
      this.#lastError ??= error
      this.#lost(client, 'cannot connect')
    })
  }

  /** Drops the connection because its server is no longer the master, and connects again. */
  leave(reason: string): void {
    if (this.#client !== undefined && this.#up) this.#lost(this.#client, reason)
  }

  /** Closes the connection for good. What was written is still sent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    const client = this.#client
    this.#up = false
    this.#client = undefined
    // for a socket that is already closed, ioredis would start a timer and wait for its close event
    if (client?.stream?.destroyed !== true) client?.disconnect()
  }

  /** The 'ready' event only means that TCP is connected; errors such as NOAUTH and LOADING show in the reply to a PING. */
  #prove(client: Redis): void {
    this.#timer = this.#options.clock.setTimer(HEARTBEAT_MS, () =>
      this.#lost(client, `no answer within ${HEARTBEAT_MS} ms`),
    )
    client.once('ready', () => {
      const sentAt = this.#options.clock.now()
      client.ping().then(
        () => this.#proven(client, sentAt),
        (error: unknown) => {
          // keeps the first error: after a refused AUTH all later commands are refused too
          this.#lastError ??= error
          this.#lost(client, 'the server refused the connection')
        },
      )
    })
  }

  #proven(client: Redis, sentAt: number): void {
    if (client !== this.#client) return
    const { onEvent, onUp, name, clock } = this.#options
    this.#timer?.cancel()
    this.#safeAt = sentAt
    this.#up = true
    const loss = this.#loss
    const attempts = this.#attempts + 1
    const downMs = loss === undefined ? undefined : Math.max(0, clock.now() - loss.from)
    this.#loss = this.#reportedReason = undefined
    this.#attempts = 0
    onEvent({ event: 'bus-up', connection: name, attempts, ...(downMs === undefined ? {} : { downMs }) })
    this.#monitor(client)
    onUp(client, loss)
  }

  /** Sends a PING at each interval; the connection is lost when the previous PING is still unanswered. */
  #monitor(client: Redis): void {
    let answered = true
    const tick = (): void => {
      if (!answered) return this.#lost(client, `no answer to PING within ${HEARTBEAT_MS} ms`)
      answered = false
      const sentAt = this.#options.clock.now()
      client.ping().then(
        () => {
          answered = true
          this.#safeAt = sentAt
        },
        () => {}, // the connection has ended, which is reported separately
      )
      this.#timer = this.#options.clock.setTimer(HEARTBEAT_MS, tick)
    }
    this.#timer = this.#options.clock.setTimer(HEARTBEAT_MS, tick)
  }

  #lost(client: Redis, what: string): void {
    if (client !== this.#client) return
    const { redact, onDown, onEvent, name, clock } = this.#options
    const error = this.#lastError
    const reason = error === undefined ? what : `${what}: ${describeFailure(error, redact)}`
    const wasUp = this.#up
    this.#up = false
    this.#client = undefined
    this.#timer?.cancel()
    discard(client)
    if (wasUp) this.#loss = { from: this.#safeAt, reason }
    if (reason !== this.#reportedReason) {
      this.#reportedReason = reason
      onEvent({ event: 'bus-down', connection: name, reason })
    }
    this.#timer = clock.setTimer(this.#retryMs(), () => this.open())
    if (wasUp && this.#loss !== undefined) onDown(this.#loss)
  }

  #retryMs(): number {
    const limit = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(10, this.#attempts++))
    return limit * (0.5 + this.#options.random() / 2)
  }
}

/** Destroys the socket at once: one whose peer no longer answers would never close. */
function discard(client: Redis): void {
  // for a socket that is already closed, ioredis would start a timer and wait for its close event
  if (client.stream?.destroyed === true) return
  client.disconnect()
  client.stream?.destroy()
}
