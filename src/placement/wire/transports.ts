// The two carriers of the wire: a MessagePort between threads, a socket pair between processes.

import type { Socket } from 'node:net'
import type { MessagePort } from 'node:worker_threads'
import type { Transport } from './link.ts'
import type { WireLine } from './protocol.ts'

/** Characters in flight through a port before the writer is asked to wait. */
const WINDOW_LENGTH = 1_048_576

export interface PortTransport extends Transport {
  post(line: WireLine): void
  /** Call once. Registers the receivers of text, of posted lines and of the end of back-pressure. */
  listen(on: {
    readonly text: (text: string) => void
    readonly posted: (line: unknown) => void
    readonly drained: () => void
  }): void
  close(): void
}

/** A port has no back-pressure, so the reader acknowledges each batch and the writer counts what is in flight. */
export function portTransport(port: MessagePort): PortTransport {
  let inFlight = 0
  return {
    write(text) {
      inFlight += text.length
      port.postMessage(text)
      return inFlight < WINDOW_LENGTH
    },
    post: (line) => port.postMessage(line),
    listen(on) {
      port.on('message', (message: unknown) => {
        if (typeof message === 'number') {
          const lagged = inFlight >= WINDOW_LENGTH
          inFlight = Math.max(0, inFlight - message)
          if (lagged && inFlight < WINDOW_LENGTH) on.drained()
        } else if (typeof message === 'string') {
          on.text(message)
          port.postMessage(message.length)
        } else on.posted(message)
      })
    },
    close: () => port.close(),
  }
}

export interface SocketTransport extends Transport {
  /** Call once. `ended` is called once, when the other end has closed the socket or is gone. */
  listen(on: {
    readonly text: (text: string) => void
    readonly drained: () => void
    readonly ended: () => void
  }): void
}

/** For a socket pair, which is what child_process's 'pipe' is on Linux. The kernel's buffer limits what is in flight: when
 *  the reader lags, write() returns false. */
export function socketTransport(socket: Socket): SocketTransport {
  return {
    write: (text) => (socket.writable ? socket.write(text) : true),
    listen(on) {
      socket.setEncoding('utf8')
      socket.on('data', (text) => on.text(text as unknown as string))
      socket.on('drain', on.drained)
      // EPIPE and ECONNRESET only mean that the other end is gone; 'close' follows.
      socket.on('error', () => {})
      socket.once('close', on.ended)
    },
  }
}
