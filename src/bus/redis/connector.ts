// How ioredis gets its socket where the server has to be looked up first: from the sentinels, or from a cluster. One look
// and one socket for each connection; what follows a failover is the next connection.

import type { Socket } from 'node:net'
import type { RedisOptions } from 'ioredis'
import type { Clock } from '../../base/clock.ts'
import { locate } from './locate.ts'
import type { ServerAddress } from './locate.ts'
import { openSocket } from './resp.ts'

/** The options by which a client connects to `address`. */
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

/** The whole look-up gets this long, milliseconds, then the connect: together less than the link waits (HEARTBEAT_MS),
 *  which would begin anew with whom it began. */
const LOOK_UP_MS = 3000
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
      const endpoint = await locate(address, prefix, clock, LOOK_UP_MS)
      const stream = await openSocket(endpoint, address.account.tls === true, clock, CONNECT_MS)
      if (!this.connecting) stream.destroy() // given up meanwhile
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
