// The clients of the control socket: who is served, who is turned away, and what they may take. Loaded by server.ts with
// the first of them.

import type { Socket } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { describeThrown } from '../base/errors.ts'
import { lazyModule } from '../base/lazy.ts'
import type { Logger } from '../log/logger.ts'
import type { ControlTarget } from '../herd/status.ts'
import { guardConnection } from './connection.ts'
import type { Connection } from './connection.ts'
import { rawAnswer } from './raw-answer.ts'
import { countRefusals } from './refusals.ts'
import type { RefusalKind } from './refusals.ts'
import type { Listener } from './routes.ts'

export interface ClientsOptions {
  readonly target: ControlTarget
  readonly log: Logger
  readonly clock: Clock
  /** Set for the read-only listener. @default the control socket, which may do everything */
  readonly listener?: Listener
}

/** Open connections, event streams among them, and what was refused so far by kind. */
export interface ClientStats {
  readonly connections: number
  readonly eventStreams: number
  readonly refused: Readonly<Partial<Record<RefusalKind, number>>>
}

export interface Clients {
  accept(socket: Socket): void
  stats(): ClientStats
  /** Ends event streams and idle connections now, all others after 200 ms. Returns what to call when they are gone. */
  close(): () => void
}

/** Connections served at once; a further one is answered 429 and closed. */
export const MAX_CONNECTIONS = 100
/** Of those, so many have a second to take their 429; the rest of a flood is closed without a word. */
const MAX_TURNED_AWAY = 100
const CLOSE_GRACE_MS = 200

export function serveClients({ target, log, clock, listener }: ClientsOptions): Clients {
  const refusals = countRefusals(log)
  const connections = new Map<Socket, Connection>()
  const turnedAway = new Set<Socket>()
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
  const turnAway = (socket: Socket): void => {
    refusals.note('too-many-connections', { limit: MAX_CONNECTIONS })
    if (turnedAway.size >= MAX_TURNED_AWAY) return void socket.destroy()
    turnedAway.add(socket)
    socket.once('close', () => turnedAway.delete(socket))
    guardConnection(socket, clock, refusals).enter('linger')
    const fact = `${MAX_CONNECTIONS} clients are connected already`
    socket.resume().end(rawAnswer('429 Too Many Requests', 'BYRE_CONTROL_BUSY', fact))
  }
  return {
    accept(socket) {
      if (connections.size >= MAX_CONNECTIONS) return turnAway(socket)
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
      for (const socket of turnedAway) socket.destroy()
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
 * Gives `socket` to the server that `load` brings once the client has sent something: whoever only connects, as a
 * liveness check does, does not load node:http. What was read goes back into the stream, ahead of what follows.
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
