// The wire between processes: a socket pair (child_process's 'pipe' on Linux), newline-delimited. The kernel's buffer is
// the window: a reader that does not read makes write() say so.

import type { Socket } from 'node:net'
import type { Transport } from './link.ts'

export interface SocketTransport extends Transport {
  /** To be called once. `ended`: the other side closed its end or is gone; called once. */
  listen(on: {
    readonly text: (text: string) => void
    readonly drained: () => void
    readonly ended: () => void
  }): void
}

export function socketTransport(socket: Socket): SocketTransport {
  return {
    write: (text) => (socket.writable ? socket.write(text) : true),
    listen(on) {
      socket.setEncoding('utf8')
      socket.on('data', (text) => on.text(text as unknown as string))
      socket.on('drain', on.drained)
      // EPIPE and ECONNRESET are the end of the other side and nothing else; 'close' follows.
      socket.on('error', () => {})
      socket.once('close', on.ended)
    },
  }
}
