// The control socket: HTTP with JSON on a Unix socket, for curl and for `byre status`. Until the first client connects there is only a
// listening handle: clients.ts is loaded with the first connection, and node:http, which costs 4 to 5 MB of private memory on Node
// 24, with the first byte of a request. No timer runs while no client is connected.

import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import type { Logger } from '../log/logger.ts'
import type { ControlTarget } from '../herd/status.ts'
import { claimSocket } from './claim-socket.ts'
import type { ClientStats } from './clients.ts'

export interface ControlServerOptions {
  readonly target: ControlTarget
  readonly socketPath: string
  readonly log: Logger
  /** @default systemClock */
  readonly clock?: Clock
}

export interface ControlServer {
  readonly socketPath: string
  stats(): ClientStats
  /** Stops listening, removes the socket file, ends event streams, and allows 200 ms for answers in progress. Idempotent. */
  close(): Promise<void>
}

/**
 * Listens on `socketPath` (mode 0600, folder 0700). Rejects with BYRE_SOCKET_IN_USE, naming the pid, when a live supervisor listens
 * there; the socket of a dead one is replaced. Nothing is listening after a rejection.
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const { target, socketPath, log, clock = systemClock } = options
  /** Clients that connected while clients.ts was loading. */
  const early = new Set<Socket>()
  const clients = lazyModule(async () => (await import('./clients.ts')).serveClients({ target, log, clock }))
  const server = createServer((socket) => {
    socket.on('error', () => {}) // the client hung up; 'close' follows
    const { loaded } = clients
    if (loaded !== undefined) return loaded.accept(socket)
    early.add(socket)
    clients.load().then(
      (served) => {
        if (early.delete(socket) && !socket.destroyed) served.accept(socket)
      },
      (error: unknown) => {
        log.error({ err: describeThrown(error) }, 'control: cannot serve a client')
        socket.destroy()
      },
    )
  })
  const claim = await claimSocket(server, socketPath, clock)
  server.on('error', (error) => {
    log.error({ err: describeThrown(error) }, 'control: cannot accept a connection')
  })
  const stop = async (): Promise<void> => {
    claim.release()
    const whenGone = clients.loaded?.close()
    for (const socket of early) socket.destroy()
    early.clear()
    await new Promise<void>((resolve) => void server.close(() => resolve()))
    whenGone?.()
  }
  let closing: Promise<void> | undefined
  return {
    socketPath,
    stats: () => clients.loaded?.stats() ?? { connections: early.size, eventStreams: 0, refused: {} },
    close: () => (closing ??= stop()),
  }
}
