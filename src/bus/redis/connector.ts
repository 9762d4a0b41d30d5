// Connects an ioredis client to a server that is looked up first, with sentinels or a cluster (locate.ts). Each connection
// makes one lookup and opens one socket; after a failover the next connection finds the new master.
//
// ioredis 5.11 has its own support for both. It was tried in place of this connector, with these results:
// - Sentinel: the plain failover passes, but a sentinel that still names the old master keeps ioredis on that server:
//   it starts with the first sentinel again and never queries the next one, and no message was accepted within 10 s
//   (test/bus/redis-requests.test.ts, "a sentinel that names a replica"). Three sentinels that accept connections and do
//   not answer kept it from reaching the fourth within 20 s, because the time is not divided among them. Its error says
//   "Connection is closed" where the cause is ECONNREFUSED.
// - Cluster: it holds three connections instead of two, and subscribes on a node other than the master of the herd's slot.
//   Messages then cross the cluster's bus, where Redis loses them without reporting a gap.
// The lease thread needs the same lookup without ioredis (see resp.ts), so using ioredis here would remove no code.

import type { Socket } from 'node:net'
import type { RedisOptions } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import { locate } from './locate.ts'
import type { ServerAddress } from './locate.ts'
import { openSocket } from './resp.ts'

/** Returns the ioredis options that connect a client to `address`. */
export function connectOptions(address: ServerAddress, prefix: string, clock: Clock): RedisOptions {
  const { username, password, db, tls } = address.account
  const account: RedisOptions = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(db === undefined ? {} : { db }),
  }
  const [endpoint] = address.endpoints
  if (address.kind === 'server' && endpoint !== undefined)
    return { ...account, ...endpoint, ...(tls === true ? { tls: {} } : {}) }
  return { ...account, Connector: connectorTo(address, prefix, clock) }
}

/** Timeouts of the whole lookup and of the connect, milliseconds. Together they are shorter than HEARTBEAT_MS of the link,
 *  which otherwise would give up and restart with the same sentinel. */
const LOOKUP_MS = 3000
const CONNECT_MS = 1500

function connectorTo(
  address: ServerAddress,
  prefix: string,
  clock: Clock,
): NonNullable<RedisOptions['Connector']> {
  class MasterConnector {
    connecting = false
    firstError?: Error
    #stream: Socket | undefined

    check(): boolean {
      return true
    }

    async connect(): Promise<Socket> {
      this.connecting = true
      const endpoint = await locate(address, prefix, clock, LOOKUP_MS)
      const stream = await openSocket(endpoint, address.account.tls === true, clock, CONNECT_MS)
      if (!this.connecting) stream.destroy() // disconnected during the lookup
      this.#stream = stream
      return stream
    }

    disconnect(): void {
      this.connecting = false
      this.#stream?.end()
    }
  }
  return MasterConnector as unknown as NonNullable<RedisOptions['Connector']>
}
