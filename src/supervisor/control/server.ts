// The control socket: HTTP/JSON on a Unix socket, for people (curl) and for `byre status`. It listens with node:net and
// loads node:http with the first byte of the first client, since node:http costs 6 MB of private memory on Node 24 and
// most supervisors are asked rarely. It has no timer while nobody is connected.

import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { systemClock } from '../../base/clock.ts'
import type { Clock } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import { lazyModule } from '../../base/lazy.ts'
import type { Logger } from '../../log/logger.ts'
import type { ControlTarget } from '../status.ts'
import { claimSocket } from './claim-socket.ts'
import { guardConnection } from './connection.ts'
import type { Connection } from './connection.ts'
import { rawAnswer } from './raw-answer.ts'
import { countRefusals } from './refusals.ts'
import type { RefusalKind } from './refusals.ts'

export interface ControlServerOptions {
  readonly target: ControlTarget
  readonly socketPath: string
  readonly log: Logger
  /** @default systemClock */
  readonly clock?: Clock
}

export interface ControlServer {
  readonly socketPath: string
  /** Open connections, event streams among them, and what was refused by kind. */
  stats(): {
    readonly connections: number
    readonly eventStreams: number
    readonly refused: Readonly<Partial<Record<RefusalKind, number>>>
  }
  /** Stops listening, removes the socket file, ends event streams, gives answers under way 200 ms. Idempotent. */
  close(): Promise<void>
}

/** Connections served at once; a further one is answered 429 and closed. */
export const MAX_CONNECTIONS = 100
/** Of those, so many have a second to take their 429; the rest of a flood is closed without a word. */
const MAX_TURNED_AWAY = 100
const CLOSE_GRACE_MS = 200

/**
 * Listens on `socketPath` (0600, folder 0700). Rejects with BYRE_SOCKET_IN_USE, naming the pid, when a live supervisor
 * has it; a socket left by a dead one is replaced. Nothing is listening after a rejection.
 */
export async function startControlServer(options: ControlServerOptions): Promise<ControlServer> {
  const { target, socketPath, log, clock = systemClock } = options
  const refusals = countRefusals(log)
  const connections = new Map<Socket, Connection>()
  const http = lazyModule(async () => {
    const { createHttpServer } = await import('./http-server.ts')
    return createHttpServer({
      target,
      log,
      refusals,
      enter: (socket, phase) => connections.get(socket)?.enter(phase),
    })
  })
  const turnedAway = new Set<Socket>()
  const turnAway = (socket: Socket): void => {
    refusals.note('too-many-connections', { limit: MAX_CONNECTIONS })
    if (turnedAway.size >= MAX_TURNED_AWAY) return void socket.destroy()
    turnedAway.add(socket)
    socket.once('close', () => turnedAway.delete(socket))
    guardConnection(socket, clock, refusals).enter('linger')
    const fact = `${MAX_CONNECTIONS} clients are connected already`
    socket.resume().end(rawAnswer('429 Too Many Requests', 'BYRE_CONTROL_BUSY', fact))
  }
  const server = createServer((socket) => {
    socket.on('error', () => {}) // the client hung up; 'close' follows
    if (connections.size >= MAX_CONNECTIONS) return turnAway(socket)
    connections.set(socket, guardConnection(socket, clock, refusals))
    socket.once('close', () => connections.delete(socket))
    onFirstBytes(socket, async () => {
      try {
        return (await http.load()).server
      } catch (error) {
        log.error({ err: describeThrown(error) }, 'control: cannot load the HTTP server')
        return undefined
      }
    })
  })
  const claim = await claimSocket(server, socketPath, clock)
  server.on('error', (error) =>
    log.error({ err: describeThrown(error) }, 'control: cannot accept a connection'),
  )
  const stop = async (): Promise<void> => {
    claim.release()
    http.loaded?.events.close()
    for (const socket of turnedAway) socket.destroy()
    for (const [socket, { phase }] of connections)
      if (phase === 'request' || phase === 'linger') socket.destroy()
    const grace = clock.setTimer(CLOSE_GRACE_MS, () => connections.forEach((_, socket) => socket.destroy()))
    await new Promise<void>((resolve) => void server.close(() => resolve()))
    grace.cancel()
    refusals.summarize()
  }
  let closing: Promise<void> | undefined
  return {
    socketPath,
    stats: () => ({
      connections: connections.size,
      eventStreams: http.loaded?.events.size ?? 0,
      refused: refusals.counts(),
    }),
    close: () => (closing ??= stop()),
  }
}

/**
 * Gives `socket` to the server that `load` brings once the client has sent something: whoever only connects, as a
 * liveness check does, loads nothing. What was read goes back into the stream, ahead of what follows.
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
