// The member list: the supervise processes of a herd that answer control messages, in one sorted set scored by the server's
// time.

import type { Redis } from 'ioredis'
import type { Clock, Timer } from '../../base/clock.ts'
import { closedError } from '../router.ts'
import { keyPrefix } from './streams/keys.ts'
import { runScript, script } from './streams/scripts.ts'

export interface MembersOptions {
  readonly herd: string
  readonly clock: Clock
  readonly client: () => Redis | undefined
}

/** Announcement interval of a member, milliseconds. */
const ANNOUNCE_MS = 10_000
/** A member without an announcement for this long is removed, milliseconds. */
const EXPIRE_MS = 60_000

const ANNOUNCE = script(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then redis.call('ZADD', KEYS[1], now, ARGV[2]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)`)

export class Members {
  readonly #options: MembersOptions
  readonly #key: string
  readonly #waiting: { resolve: (client: Redis) => void; reject: (error: unknown) => void }[] = []
  readonly #own = new Map<string, Timer | undefined>()

  constructor(options: MembersOptions) {
    this.#options = options
    this.#key = `${keyPrefix(options.herd)}members`
  }

  /** Announces `member` periodically until the returned function is called. */
  announce(member: string): () => void {
    this.#own.set(member, undefined)
    this.#announce(member)
    return () => {
      this.#own.get(member)?.cancel()
      // a member that cannot be removed now expires after EXPIRE_MS
      if (this.#own.delete(member))
        this.#options
          .client()
          ?.zrem(this.#key, member)
          .catch(() => {})
    }
  }

  /** Members announced within the last minute. Waits for a connection; rejects when it breaks or the bus closes. */
  async list(): Promise<readonly string[]> {
    const client = this.#options.client() ?? (await this.#whenConnected())
    return (await runScript(client, ANNOUNCE, [this.#key], [EXPIRE_MS, ''])) as string[]
  }

  #whenConnected(): Promise<Redis> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  /** Called for each new connection. */
  connected(): void {
    const client = this.#options.client()
    if (client !== undefined) for (const waiting of this.#waiting.splice(0)) waiting.resolve(client)
    for (const member of this.#own.keys()) this.#announce(member)
  }

  /** Removes the members of this process. Never rejects. */
  async close(): Promise<void> {
    for (const timer of this.#own.values()) timer?.cancel()
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closedError('list', 'members'))
    const own = [...this.#own.keys()]
    this.#own.clear()
    // a member that cannot be removed now expires after EXPIRE_MS
    if (own.length > 0)
      await this.#options
        .client()
        ?.zrem(this.#key, ...own)
        .catch(() => {})
  }

  #announce(member: string): void {
    const { client, clock } = this.#options
    this.#own.get(member)?.cancel()
    this.#own.set(
      member,
      clock.setTimer(ANNOUNCE_MS, () => this.#announce(member)),
    )
    const redis = client()
    // repeated at the next interval and with the next connection
    if (redis !== undefined) runScript(redis, ANNOUNCE, [this.#key], [EXPIRE_MS, member]).catch(() => {})
  }
}
