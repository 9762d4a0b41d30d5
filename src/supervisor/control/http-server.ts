// The part of the control server that needs node:http; server.ts loads it with the first byte of the first client.

import { createServer } from 'node:http'
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from '../../log/logger.ts'
import type { ControlTarget } from '../status.ts'
import type { Phase } from './connection.ts'
import { eventStreams } from './event-streams.ts'
import type { EventStreams } from './event-streams.ts'
import { rawAnswer } from './raw-answer.ts'
import type { Refusals } from './refusals.ts'
import { routeRequests } from './routes.ts'

export interface HttpOptions {
  readonly target: ControlTarget
  readonly log: Logger
  readonly refusals: Refusals
  /** Tells the owner of the connection what its client is doing. */
  readonly enter: (socket: Socket, phase: Phase) => void
}

/** Longest request line and headers together. */
export const MAX_HEADER_BYTES: number = 8 * 1024

/** An HTTP server that never listens itself: connections are given to it with `emit('connection', socket)`. */
export function createHttpServer(options: HttpOptions): {
  readonly server: Server
  readonly events: EventStreams
} {
  const { target, log, refusals, enter } = options
  const events = eventStreams(target, refusals, enter)
  const server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES },
    routeRequests({ target, log, refusals, events, enter }),
  )
  // One request per connection: node would parse and emit pipelined ones before the first is answered.
  server.maxRequestsPerSocket = 1
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code !== 'ECONNRESET')
      refusals.note('not-http', { why: error.message.slice(0, 200), code: error.code })
    const silent = error.code === 'ECONNRESET' || !socket.writable || (socket as Socket).bytesWritten > 0
    if (silent) socket.destroy()
    else
      socket.end(
        rawAnswer(statusOf(error.code), 'BYRE_CONTROL_REFUSED', 'the request is not HTTP as byre reads it'),
        () => socket.destroy(),
      )
  })
  return { server, events }
}

function statusOf(code: string | undefined): string {
  return code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
}
