// Seeks, renews and drops leases over a dedicated connection. It runs in a thread, so that a busy main loop delays no
// renewal. It measures a lease on the monotonic clock from the moment a command is sent, which is before the server starts
// the ttl.

import type { Clock, Timer } from '../../../base/clock.ts'
import type { Redact } from '../../../base/redact.ts'
import { describeFailure, isMoved, isRefusal } from '../errors.ts'
import { keyPrefix } from '../streams/keys.ts'
import { locate } from '../locate.ts'
import type { ServerAddress } from '../locate.ts'
import { openResp } from '../resp.ts'
import type { Reply, RespConnection } from '../resp.ts'
import { HOLD_PART, STUCK_TTLS } from './protocol.ts'
import type { FromThread, ToThread } from './protocol.ts'
import { ACQUIRE, RELEASE, RENEW } from './scripts.ts'

export interface KeeperOptions {
  readonly address: ServerAddress
  readonly herd: string
  readonly token: string
  readonly clock: Clock
  readonly redact: Redact
  /** Time since the last turn of the main loop, milliseconds. */
  readonly loopSilenceMs: () => number
  readonly send: (message: FromThread) => void
}

/** Longest time between two attempts of a standby, milliseconds; it also tries when the lease expires. */
const POLL_MS = 1000
const CONNECT_MS = 2000
const LAST_RETRY_MS = 1000

interface Lease {
  readonly id: number
  readonly name: string
  readonly ttlMs: number
  readonly holder: string
  held: boolean
  /** When the lease counts as lost, monotonic ms. */
  until: number
  timer: Timer | undefined
  deadline: Timer | undefined
  /** The server's last reply, if it was an error. */
  refusal: string | undefined
}

export class LeaseKeeper {
  readonly #options: KeeperOptions
  readonly #leases = new Map<number, Lease>()
  #connection: RespConnection | undefined
  #connecting = false
  #retry: Timer | undefined
  #attempts = 0
  #reportedReason: string | undefined
  #ended = false
  #lastHolder = 0

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  receive(message: ToThread): void {
    if (message.do === 'seek') this.#seek(message.id, message.name, message.ttlMs)
    else if (message.do === 'drop') void this.#drop(message.id)
    else void this.end()
  }

  /** Drops all leases, as far as the server can be reached, and closes the connection. */
  async end(): Promise<void> {
    const drops = [...this.#leases.keys()].map((id) => this.#drop(id))
    this.#ended = true
    this.#retry?.cancel()
    await Promise.all(drops)
    this.#connection?.close()
  }

  #seek(id: number, name: string, ttlMs: number): void {
    const holder = `${this.#options.token}:${++this.#lastHolder}`
    const lease: Lease = {
      id,
      name,
      ttlMs,
      holder,
      held: false,
      until: 0,
      timer: undefined,
      deadline: undefined,
      refusal: undefined,
    }
    this.#leases.set(id, lease)
    if (this.#connection === undefined) this.#connect()
    else void this.#attempt(lease)
  }

  async #drop(id: number): Promise<void> {
    const lease = this.#leases.get(id)
    if (lease === undefined) return
    this.#forget(lease)
    // sent even if the lease is not known to be held, because an attempt may be in progress; otherwise the lease expires
    await this.#connection?.call('EVAL', RELEASE, 1, this.#key(lease), lease.holder).catch(() => {})
  }

  #forget(lease: Lease): void {
    this.#leases.delete(lease.id)
    lease.timer?.cancel()
    lease.deadline?.cancel()
  }

  #key(lease: Lease): string {
    return `${keyPrefix(this.#options.herd)}lease:${lease.name}`
  }

  async #attempt(lease: Lease): Promise<void> {
    const { clock, send, herd } = this.#options
    const sentAt = clock.monotonic()
    const keys = [this.#key(lease), `${keyPrefix(herd)}fence:${lease.name}`]
    const answer = await this.#call(lease, 'EVAL', ACQUIRE, 2, ...keys, lease.holder, lease.ttlMs)
    if (!this.#leases.has(lease.id)) return // dropped meanwhile; the release was sent after the attempt
    if (answer === undefined) {
      // after a broken connection, the next one starts with an attempt
      if (lease.refusal !== undefined) this.#attemptIn(lease, POLL_MS)
      return
    }
    const [won, detail] = answer as [number, string | number]
    if (won === 1) {
      lease.held = true
      this.#holdFrom(lease, sentAt)
      send({ event: 'won', id: lease.id, fence: String(detail) })
      return
    }
    this.#attemptIn(lease, Math.min(POLL_MS, Math.max(0, Number(detail)) + 5))
  }

  #attemptIn(lease: Lease, delayMs: number): void {
    lease.timer?.cancel()
    lease.timer = this.#options.clock.setTimer(delayMs, () => void this.#attempt(lease))
  }

  /** Holds the lease that a command sent at `sentAt` acquired or renewed. */
  #holdFrom(lease: Lease, sentAt: number): void {
    const { clock } = this.#options
    lease.until = sentAt + lease.ttlMs * HOLD_PART
    lease.timer?.cancel()
    lease.deadline?.cancel()
    lease.timer = clock.setTimer(lease.ttlMs / 3, () => void this.#renew(lease))
    lease.deadline = clock.setTimer(Math.max(0, lease.until - clock.monotonic()), () =>
      this.#lost(lease, `it could not be renewed for ${Math.round(lease.ttlMs * HOLD_PART)} ms`),
    )
  }

  async #renew(lease: Lease): Promise<void> {
    const { clock, loopSilenceMs } = this.#options
    const sentAt = clock.monotonic()
    if (sentAt >= lease.until) return this.#lost(lease, 'the process was paused until after it expired')
    const silentMs = loopSilenceMs()
    if (silentMs > STUCK_TTLS * lease.ttlMs)
      return this.#lost(lease, `the main loop has been blocked for ${Math.round(silentMs)} ms`)
    const answer = await this.#call(lease, 'EVAL', RENEW, 1, this.#key(lease), lease.holder, lease.ttlMs)
    if (this.#leases.get(lease.id) !== lease) return
    if (answer === 1) this.#holdFrom(lease, sentAt)
    else if (answer === 0) this.#lost(lease, 'it expired, or another process took it')
    else lease.timer = clock.setTimer(lease.ttlMs / 10, () => void this.#renew(lease))
  }

  #lost(lease: Lease, reason: string): void {
    if (this.#leases.get(lease.id) !== lease) return
    this.#options.send({ event: 'lost', id: lease.id, reason })
    void this.#drop(lease.id)
  }

  /** Sends a command for one lease. Returns undefined when there is no connection, or when the server refused (`refusal` then
   *  says why). A refusal concerns one lease, so the shared connection stays open, unless the server is no longer the
   *  master. */
  async #call(lease: Lease, ...command: (string | number)[]): Promise<Reply | undefined> {
    const connection = this.#connection
    if (connection === undefined) return undefined
    const limitMs = Math.min(CONNECT_MS, lease.ttlMs / 2)
    const limit = this.#options.clock.setTimer(limitMs, () => {
      this.#reportDown(new Error(`no answer within ${limitMs} ms`))
      connection.close()
    })
    try {
      const reply = await connection.call(...command)
      this.#attempts = 0
      this.#reportedReason = undefined
      lease.refusal = undefined
      return reply
    } catch (error) {
      if (isRefusal(error) && !isMoved(error)) return this.#refused(lease, error)
      lease.refusal = undefined
      this.#reportDown(error)
      connection.close()
      return undefined
    } finally {
      limit.cancel()
    }
  }

  #refused(lease: Lease, error: unknown): undefined {
    const reason = describeFailure(error, this.#options.redact)
    if (reason === lease.refusal) return
    lease.refusal = reason
    this.#options.send({ event: 'refused', id: lease.id, reason })
  }

  #connect(): void {
    if (this.#connecting || this.#ended) return
    this.#connecting = true
    void this.#open().then(
      (connection) => this.#opened(connection),
      (error: unknown) => {
        this.#connecting = false
        this.#reportDown(error)
        this.#connectLater()
      },
    )
  }

  async #open(): Promise<RespConnection> {
    const { address, clock, herd } = this.#options
    const endpoint = await locate(address, keyPrefix(herd), clock, CONNECT_MS)
    const connection = await openResp(endpoint, address.account, clock, CONNECT_MS)
    const timer = clock.setTimer(CONNECT_MS, () => connection.close())
    try {
      await connection.call('CLIENT', 'SETNAME', `byre:${herd}:leases`).catch(() => {}) // an ACL may deny it
      await connection.call('PING')
    } finally {
      timer.cancel()
    }
    return connection
  }

  #opened(connection: RespConnection): void {
    this.#connecting = false
    if (this.#ended) return connection.close()
    this.#connection = connection
    this.#options.send({ event: 'up' })
    void connection.closed.then((reason) => {
      if (this.#connection !== connection) return
      this.#connection = undefined
      if (!this.#ended) this.#reportDown(reason)
      this.#connectLater()
    })
    for (const lease of this.#leases.values()) {
      lease.timer?.cancel()
      void (lease.held ? this.#renew(lease) : this.#attempt(lease))
    }
  }

  #connectLater(): void {
    if (this.#ended) return
    const delayMs = Math.min(LAST_RETRY_MS, 20 * 2 ** Math.min(6, this.#attempts++))
    this.#retry?.cancel()
    this.#retry = this.#options.clock.setTimer(delayMs, () => this.#connect())
  }

  #reportDown(error: unknown): void {
    const reason = describeFailure(error, this.#options.redact)
    if (reason === this.#reportedReason) return
    this.#reportedReason = reason
    this.#options.send({ event: 'down', reason })
  }
}
