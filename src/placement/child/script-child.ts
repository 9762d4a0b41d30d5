// The child's end of the wire in a script with `inside: true`: it answers requests about the loop and the heap, does nothing
// without a request, and does not keep the process alive. The end of the script is observed from outside, as without
// `inside`; so is the end of the supervisor.

import { Socket } from 'node:net'
import { Link } from '../wire/link.ts'
import { line, WIRE_VERSION } from '../wire/protocol.ts'
import type { Init, WireLine } from '../wire/protocol.ts'
import { socketTransport } from '../wire/transports.ts'
import { answer } from './answers.ts'

/** `fd`: the descriptor of the wire. */
export function openScriptChild(fd: number): void {
  const socket = new Socket({ fd, readable: true, writable: true })
  const transport = socketTransport(socket)
  // Not through the link: its batches would take a turn of the script's loop.
  const send = (text: string): void => void transport.write(`${text}\n`)
  let init: Init | undefined
  const receive = (received: WireLine): void => {
    if (received[0] === 'init') {
      init = received[1] as Init
      send(line('hello', WIRE_VERSION, process.pid, process.pid)) // the main thread has the id of its process
    } else if (init !== undefined) answer(received, send, init)
  }
  const link = new Link(transport, Number.POSITIVE_INFINITY, {
    onLine: receive,
    onBroken: () => socket.destroy(),
  })
  transport.listen({
    text(text) {
      try {
        link.receive(text)
      } catch {
        socket.destroy() // the script replaced a builtin that this code needs; that must not end the script
      }
    },
    drained: () => {},
    ended: () => {},
  })
  socket.unref()
}
