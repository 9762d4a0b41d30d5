// The part of the control server that needs node:http; server.ts loads it with the first byte of the first client.

import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '../log/logger.ts'
import type { ControlTarget } from '../herd/status.ts'
import type { Phase } from './connection.ts'
import { eventStreams } from './event-streams.ts'
import type { EventStreams } from './event-streams.ts'
import { rawAnswer } from './raw-answer.ts'
import type { Refusals } from './refusals.ts'
import { routeRequests } from './routes.ts'
import type { Listener } from './routes.ts'

export interface HttpOptions {
  readonly target: ControlTarget
  readonly log: Logger
  readonly refusals: Refusals
  /** Tells the owner of the connection what its client is doing. */
  readonly enter: (socket: Socket, phase: Phase) => void
  /** Set for the read-only listener. */
  readonly listener: Listener | undefined
}

/** Longest request line and headers together. */
const MAX_HEADER_BYTES: number = 8 * 1024

/** An HTTP server that never listens itself: connections are given to it with `emit('connection', socket)`. */
export function createHttpServer(options: HttpOptions): {
  readonly server: Server
  readonly events: EventStreams
} {
  const { target, log, refusals, enter, listener } = options
  const events = eventStreams(target, refusals, enter)
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES },
    routeRequests({ target, log, refusals, events, enter, listener }),
  )
  // One request per connection: node would parse and emit pipelined ones before the first is answered.
  server.maxRequestsPerSocket = 1
  const requests = new WeakMap<Socket, IncomingMessage>()
  server.prependListener('request', (req) => requests.set(req.socket, req))
  server.on('clientError', (error: NodeJS.ErrnoException, stream) => {
    const socket = stream as Socket
    if (error.code !== 'ECONNRESET')
      refusals.note('not-http', { why: error.message.slice(0, 200), code: error.code })
    // Garbage behind a whole request: it gets its answer, and nothing further is read.
    if (requests.get(socket)?.complete === true) return discardInput(socket)
    if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0)
      return void socket.destroy()
    enter(socket, 'linger')
    discardInput(socket)
    socket.end(
      rawAnswer(statusOf(error.code), 'BYRE_CONTROL_REFUSED', 'the request is not HTTP as byre reads it'),
    )
  })
  return { server, events }
}

/** Takes the input away from node's parser, which has given up; reading on is how the client's close is seen. */
function discardInput(socket: Socket): void {
  socket.removeAllListeners('data').on('data', () => {})
}

function statusOf(code: string | undefined): string {
  return code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
}
