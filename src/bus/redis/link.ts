// One connection that is kept: opened, proven by a PING, watched by further ones, and opened again when it is lost. A
// client lives as long as its connection; nothing is carried over, so nothing is resent or resubscribed behind our back.

import type { Redis } from 'ioredis'
import type { Clock, Random, Timer } from '../../base/clock.ts'
import type { Redact } from '../../base/redact.ts'
import type { BusEvent } from '../bus.ts'
import { describeFailure } from './errors.ts'

export interface LinkOptions {
  readonly name: 'commands' | 'subscriber'
  /** A client that is not connected yet and never reconnects. */
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
  /** Wall clock: whatever the server handled before this was received. The sending of the last PING answered. */
  readonly from: number
  readonly reason: string
}

/** A PING every so often, milliseconds; unanswered until the next one is due, the connection counts as lost. */
const HEARTBEAT_MS = 5000
const FIRST_RETRY_MS = 50
const LAST_RETRY_MS = 2000

export class Link {
  readonly #options: LinkOptions
  /** The one being opened or in use. */
  #client: Redis | undefined
  #up = false
  #closed = false
  #timer: Timer | undefined
  #attempts = 0
  #safeAt = 0
  #loss: Loss | undefined
  /** The last reason told, so that an absent server is told of once and not at each attempt. */
  #told: string | undefined
  #lastError: unknown

  constructor(options: LinkOptions) {
    this.#options = options
  }

  /** The client while the connection is proven to work. One whose socket has ended already and whose end is not told yet
   *  would refuse each command at once: a caller that tries again would never let the loop turn, and hear of it. */
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

  /** The server behind it is not the right one any more: looks for it again. */
  leave(reason: string): void {
    if (this.#client !== undefined && this.#up) this.#lost(this.#client, reason)
  }

  /** Ends it for good; what was written is sent first. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    const client = this.#client
    this.#up = false
    this.#client = undefined
    // ioredis would wait for the close of a socket that is closed already, on a timer
    if (client?.stream?.destroyed !== true) client?.disconnect()
  }

  /** Ready only tells of TCP; AUTH, LOADING and the like show in the answer to a PING. */
  #prove(client: Redis): void {
    this.#timer = this.#options.clock.setTimer(HEARTBEAT_MS, () =>
      this.#lost(client, `no answer within ${HEARTBEAT_MS} ms`),
    )
    client.once('ready', () => {
      const sentAt = this.#options.clock.now()
      client.ping().then(
        () => this.#proven(client, sentAt),
        (error: unknown) => {
          // a refused AUTH is the cause of all that is refused after it
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
    this.#loss = this.#told = undefined
    this.#attempts = 0
    onEvent({ event: 'bus-up', connection: name, attempts, ...(downMs === undefined ? {} : { downMs }) })
    this.#beat(client)
    onUp(client, loss)
  }

  /** One timer: sends a PING unless the one before is unanswered still. */
  #beat(client: Redis): void {
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
        () => {}, // the connection ends with it, and that is told
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
    if (reason !== this.#told) {
      this.#told = reason
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

/** Its socket is closed at once: one that no longer answers would never close by itself. */
function discard(client: Redis): void {
  // ioredis would wait for the close of a socket that is closed already, on a timer
  if (client.stream?.destroyed === true) return
  client.disconnect()
  client.stream?.destroy()
}
