// The shared bus: every herd of one name on one Redis server, over two connections of this process.

import type { Redis, RedisOptions } from 'ioredis'
import { createRedactor } from '../base/redact.ts'
import type { BusEvent, HostBus } from './bus.ts'
import { RedisCarrier } from './redis/carrier.ts'
import { readAddress } from './redis/address.ts'
import { closedError } from './router.ts'
import type { EmbeddedBusOptions } from './router.ts'
import { Scope } from './scope.ts'

export interface RedisBusOptions extends EmbeddedBusOptions {
  /** The herd's name: the prefix of its channels. */
  readonly herd: string
  /** `redis://` or `rediss://`, as the config has it. Never logged. */
  readonly url: string
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
  const address = readAddress(options.url, options.env ?? {})
  const { Redis: Client } = await import('ioredis')
  const { herd } = options
  const createClient = (name: string): Redis =>
    new Client({ ...address.connect, ...CLIENT, connectionName: `byre:${herd}:${name}` })
  const carrier = new RedisCarrier({ ...options, createClient, redact: createRedactor(address.secrets) })
  carrier.open()
  return hostBus(carrier)
}

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

function hostBus(carrier: RedisCarrier): HostBus {
  const scopes = new Set<Scope>()
  const forget = (scope: Scope): void => void scopes.delete(scope)
  const host = new Scope(carrier, undefined, {}, forget)
  const assertOpen = (verb: string, name: unknown): void => {
    if (host.closed) throw closedError(verb, name)
  }
  return {
    kind: 'redis',
    get connections() {
      return carrier.connections
    },
    get health() {
      return carrier.health
    },
    publish: (topic, payload, publishOptions) => host.publish(topic, payload, publishOptions),
    subscribe: (pattern, subscribeOptions) => host.subscribe(pattern, subscribeOptions),
    request: (topic, payload, requestOptions) => host.request(topic, payload, requestOptions),
    enqueue: (stream) => host.enqueue(stream),
    stream: (stream) => host.stream(stream),
    publishSystem: (topic, payload, publishOptions) => host.publishSystem(topic, payload, publishOptions),
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
    close() {
      host.closeAll()
      for (const scope of scopes) scope.closeAll()
      return carrier.close()
    },
  }
}
