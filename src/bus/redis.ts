// The shared bus: every herd of one name on one Redis server, over two connections of this process.

import type * as Ioredis from 'ioredis'
import type { Redis, RedisOptions } from 'ioredis'
import { lazyRequire } from '../base/lazy.ts'
import { createRedactor } from '../base/redact.ts'
import type { BusEvent, HostBus } from './bus.ts'
import { RedisCarrier } from './redis/carrier.ts'
import { readAddress } from './redis/address.ts'
import type { BusServer } from './redis/address.ts'
import { connectOptions } from './redis/connector.ts'
import { LateLeases } from './redis/lease/late.ts'
import { keyPrefix } from './redis/streams/keys.ts'
import { closedError } from './router.ts'
import type { EmbeddedBusOptions } from './router.ts'
import { Scope } from './scope.ts'

export interface RedisBusOptions extends EmbeddedBusOptions {
  /** The herd's name: the prefix of its channels. */
  readonly herd: string
  /** As the config has it. Never logged. */
  readonly server: BusServer
  /** Where REDIS_URL may hold the user and password of the same server. */
  readonly env?: NodeJS.ProcessEnv | undefined
  /** Connections that come and go, gaps, refusals: for the log. Must not throw. */
  readonly onEvent?: ((event: BusEvent) => void) | undefined
}

/**
 * A bus that connects, and goes on connecting, by itself: it is usable at once, whether the server is there or not.
 * Loads ioredis. Rejects BYRE_ARGUMENT_INVALID for an address that is none.
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
  const leases = new LateLeases(async () => {
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

/** Through require: importing a CommonJS package loads and warms up a parser of its exports besides. */
const ioredis = lazyRequire<typeof Ioredis>('ioredis', import.meta.url)

/** One client is one connection: what is to happen when it breaks is decided in redis/link.ts. */
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

function hostBus(carrier: RedisCarrier, leases: LateLeases): HostBus {
  const scopes = new Set<Scope>()
  const forget = (scope: Scope): void => void scopes.delete(scope)
  const host = new Scope(carrier, undefined, {}, forget)
  const assertOpen = (verb: string, name: unknown): void => {
    if (host.closed) throw closedError(verb, name)
  }
  return {
    kind: 'redis',
    get connections() {
      return carrier.connections + leases.connections
    },
    get health() {
      return carrier.health
    },
    publish: (topic, payload, publishOptions) => host.publish(topic, payload, publishOptions),
    subscribe: (pattern, subscribeOptions) => host.subscribe(pattern, subscribeOptions),
    request: (topic, payload, requestOptions) => host.request(topic, payload, requestOptions),
    enqueue: (stream, payload, enqueueOptions) => host.enqueue(stream, payload, enqueueOptions),
    stream: (stream, streamOptions) => host.stream(stream, streamOptions),
    publishSystem: (topic, payload, publishOptions) => host.publishSystem(topic, payload, publishOptions),
    watchStream: (stream, group, wake) => carrier.streams.watch(stream, group, wake),
    members: carrier.members,
    seekLease: (name, ttlMs, events) => leases.seek(name, ttlMs, events),
    // another process may listen
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
      host.closeAll()
      for (const scope of scopes) scope.closeAll()
      await Promise.all([carrier.close(), leases.close()])
    },
  }
}
