// The shared bus: connects all processes of a herd through Redis, with two connections per process.

import type * as Ioredis from 'ioredis'
import type { Redis, RedisOptions } from 'ioredis'
import { lazyRequire } from '../base/lazy.ts'
import { createRedactor } from '../base/redact.ts'
import type { BusEvent, HostBus, LeaseEvents, LeaseHold } from './bus.ts'
import { RedisCarrier } from './redis/carrier.ts'
import { readAddress } from './redis/address.ts'
import type { BusServer } from './redis/address.ts'
import { connectOptions } from './redis/connector.ts'
import type { Leases } from './redis/lease/leases.ts'
import { keyPrefix } from './redis/streams/keys.ts'
import { closedError } from './router.ts'
import type { EmbeddedBusOptions } from './router.ts'
import { Scope } from './scope.ts'

export interface RedisBusOptions extends EmbeddedBusOptions {
  /** The herd's name, which prefixes its channels. */
  readonly herd: string
  /** The server address from the config. Never logged. */
  readonly server: BusServer
  /** May contain REDIS_URL with the user and password of the same server. */
  readonly env?: NodeJS.ProcessEnv | undefined
  /** Receives connection changes, gaps and refusals for the log. Must not throw. */
  readonly onEvent?: ((event: BusEvent) => void) | undefined
}

/**
 * Opens a bus that connects and reconnects by itself. It is usable at once, even while the server is unreachable. Loads
 * ioredis. Rejects BYRE_ARGUMENT_INVALID for an invalid address.
 */
export async function openRedisBus(options: RedisBusOptions): Promise<HostBus> {
  const { address, secrets } = readAddress(options.server, options.env ?? {})
  const { Redis: Client } = ioredis.get()
  const { herd, clock } = options
  const connect = connectOptions(address, keyPrefix(herd), clock)
  const createClient = (name: string): Redis =>
    new Client({ ...connect, ...CLIENT, connectionName: `byre:${herd}:${name}` })
  const carrier = new RedisCarrier({ ...options, createClient, redact: createRedactor(secrets) })
  carrier.open()
  const leases = new LazyLeases(async () => {
    const { Leases } = await import('./redis/lease/leases.ts')
    return new Leases({
      address,
      herd,
      token: carrier.token,
      clock,
      onEvent: (event) => options.onEvent?.(event),
    })
  })
  return hostBus(carrier, leases)
}

/** Loaded by require: an import of a CommonJS package also loads Node's lexer for its exports. */
const ioredis = lazyRequire<typeof Ioredis>('ioredis', import.meta.url)

/** A client is used for a single connection; redis/link.ts reconnects with a new client. */
const CLIENT: RedisOptions = {
  lazyConnect: true,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: null,
  retryStrategy: () => null,
  disableClientInfo: true,
  connectTimeout: 5000,
  keepAlive: 30_000,
}

/** Loads the code and the thread of leases with the first lease that is sought: most herds have none. */
class LazyLeases {
  readonly #load: () => Promise<Leases>
  #loading: Promise<Leases> | undefined
  #loaded: Leases | undefined
  #closed = false

  constructor(load: () => Promise<Leases>) {
    this.#load = load
  }

  get connections(): number {
    return this.#loaded?.connections ?? 0
  }

  seek(name: string, ttlMs: number, events: LeaseEvents): LeaseHold {
    let dropped = false
    let hold: LeaseHold | undefined
    this.#loading ??= this.#load()
    void this.#loading.then((leases) => {
      this.#loaded = leases
      if (!dropped && !this.#closed) hold = leases.seek(name, ttlMs, events)
    })
    return {
      drop() {
        dropped = true
        hold?.drop()
      },
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await (await this.#loading)?.close()
  }
}

function hostBus(carrier: RedisCarrier, leases: LazyLeases): HostBus {
  const scopes = new Set<Scope>()
  const forget = (scope: Scope): void => void scopes.delete(scope)
  const root = new Scope(carrier, undefined, {}, forget)
  const assertOpen = (verb: string, name: unknown): void => {
    if (root.closed) throw closedError(verb, name)
  }
  return {
    kind: 'redis',
    get connections() {
      return carrier.connections + leases.connections
    },
    get health() {
      return carrier.health
    },
    publish: (topic, payload, publishOptions) => root.publish(topic, payload, publishOptions),
    subscribe: (pattern, subscribeOptions) => root.subscribe(pattern, subscribeOptions),
    request: (topic, payload, requestOptions) => root.request(topic, payload, requestOptions),
    enqueue: (stream, payload, enqueueOptions) => root.enqueue(stream, payload, enqueueOptions),
    stream: (stream, streamOptions) => root.stream(stream, streamOptions),
    publishSystem: (topic, payload, publishOptions) => root.publishSystem(topic, payload, publishOptions),
    watchStream: (stream, group, wake) => carrier.streams.watch(stream, group, wake),
    members: carrier.members,
    seekLease: (name, ttlMs, events) => leases.seek(name, ttlMs, events),
    // another process may have subscribers
    hasSubscribers: () => true,
    tap(pattern, deliver) {
      assertOpen('tap', pattern)
      return carrier.tap(pattern, deliver)
    },
    scoped(owner, scopeOptions) {
      assertOpen('open a scope for', owner)
      const scope = new Scope(carrier, owner, scopeOptions ?? {}, forget)
      scopes.add(scope)
      return scope
    },
    async close() {
      root.closeAll()
      for (const scope of scopes) scope.closeAll()
      await Promise.all([carrier.close(), leases.close()])
    },
  }
}
