// The clients of the control socket and of the HTTP listener: their limits, and the hand-over to the HTTP server. A file apart
// because server.ts loads it with the first client.

import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import type { Logger } from '../log/logger.ts'
import type { ControlTarget } from '../herd/status.ts'
import { countRefusals, guardConnection, plainRefusal } from './connection.ts'
import type { Connection, RefusalKind } from './connection.ts'
import type { Listener } from './http-server.ts'

export interface ClientsOptions {
  readonly target: ControlTarget
  readonly log: Logger
  readonly clock: Clock
  /** Set for the HTTP listener, which is read-only. @default the control socket, with all routes */
  readonly listener?: Listener
}

/** Open connections including event streams, and the requests refused so far by kind. */
export interface ClientStats {
  readonly connections: number
  readonly eventStreams: number
  readonly refused: Readonly<Partial<Record<RefusalKind, number>>>
}

export interface Clients {
  accept(socket: Socket): void
  stats(): ClientStats
  /** Ends event streams and idle connections now, all others after 200 ms. Returns a function to call when all are closed. */
  close(): () => void
}

/** Maximum number of connections served at once; a further one is answered with 429 and closed. */
export const MAX_CONNECTIONS = 100
/** Of those further ones, this many have a second to read their 429; any beyond that are closed without an answer. */
const MAX_REJECTED = 100
const CLOSE_GRACE_MS = 200

export function serveClients({ target, log, clock, listener }: ClientsOptions): Clients {
  const refusals = countRefusals(log)
  const connections = new Map<Socket, Connection>()
  const rejected = new Set<Socket>()
  const http = lazyModule(async () => {
    const { createHttpServer } = await import('./http-server.ts')
    return createHttpServer({
      target,
      log,
      refusals,
      listener,
      enter: (socket, phase) => connections.get(socket)?.enter(phase),
    })
  })
  const httpServer = async (): Promise<NodeJS.EventEmitter | undefined> => {
    try {
      return (await http.load()).server
    } catch (error) {
      log.error({ err: describeThrown(error) }, 'control: cannot load the HTTP server')
      return undefined
    }
  }
  const reject = (socket: Socket): void => {
    refusals.note('too-many-connections', { limit: MAX_CONNECTIONS })
    if (rejected.size >= MAX_REJECTED) return void socket.destroy()
    rejected.add(socket)
    socket.once('close', () => rejected.delete(socket))
    guardConnection(socket, clock, refusals).enter('linger')
    const fact = `${MAX_CONNECTIONS} clients are connected already`
    socket.resume().end(plainRefusal('429 Too Many Requests', 'BYRE_CONTROL_BUSY', fact))
  }
  return {
    accept(socket) {
      if (connections.size >= MAX_CONNECTIONS) return reject(socket)
      connections.set(socket, guardConnection(socket, clock, refusals))
      socket.once('close', () => connections.delete(socket))
      onFirstBytes(socket, httpServer)
    },
    stats: () => ({
      connections: connections.size,
      eventStreams: http.loaded?.events.size ?? 0,
      refused: refusals.counts(),
    }),
    close() {
      http.loaded?.events.close()
      for (const socket of rejected) socket.destroy()
      for (const [socket, { phase }] of connections)
        if (phase === 'request' || phase === 'linger') socket.destroy()
      const grace = clock.setTimer(CLOSE_GRACE_MS, () => connections.forEach((_, socket) => socket.destroy()))
      return () => {
        grace.cancel()
        refusals.summarize()
      }
    },
  }
}

/**
 * Passes `socket` to the server that `load` resolves with, once the client has sent something: a client that only connects, such
 * as a liveness check, does not load node:http. The bytes read so far go back into the stream.
 */
function onFirstBytes(socket: Socket, load: () => Promise<NodeJS.EventEmitter | undefined>): void {
  socket.once('data', (chunk: Buffer) => {
    socket.pause()
    socket.unshift(chunk)
    void load().then((server) => {
      if (server === undefined) socket.destroy()
      if (socket.destroyed || server === undefined) return
      server.emit('connection', socket)
      socket.resume()
    })
  })
}
