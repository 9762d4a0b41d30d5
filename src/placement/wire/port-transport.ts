// The wire between threads: a MessagePort. A port takes whatever it is given, so the reader acknowledges each batch and
// the writer counts what is on its way.

import type { MessagePort } from 'node:worker_threads'
import type { Transport } from './link.ts'
import type { WireLine } from './protocol.ts'

/** Characters on their way before the writer is asked to wait. */
const WINDOW_LENGTH = 1_048_576

export interface PortTransport extends Transport {
  post(line: WireLine): void
  /** To be called once, with where text, posted lines and relief go. */
  listen(on: {
    readonly text: (text: string) => void
    readonly posted: (line: unknown) => void
    readonly drained: () => void
  }): void
  close(): void
}

export function portTransport(port: MessagePort): PortTransport {
  let onItsWay = 0
  return {
    write(text) {
      onItsWay += text.length
      port.postMessage(text)
      return onItsWay < WINDOW_LENGTH
    },
    post: (line) => port.postMessage(line),
    listen(on) {
      port.on('message', (message: unknown) => {
        if (typeof message === 'number') {
          const lagged = onItsWay >= WINDOW_LENGTH
          onItsWay = Math.max(0, onItsWay - message)
          if (lagged && onItsWay < WINDOW_LENGTH) on.drained()
        } else if (typeof message === 'string') {
          on.text(message)
          port.postMessage(message.length)
        } else on.posted(message)
      })
    },
    close: () => port.close(),
  }
}
