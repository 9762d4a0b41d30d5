// The wire of a script with `inside: true`: it answers what the host asks about the loop and the heap, keeps nothing alive,
// and does nothing before it is asked. What becomes of the script is seen from outside, as without it; so is the end of the
// supervisor.

import { Socket } from 'node:net'
import { Link } from '../wire/link.ts'
import { line, WIRE_VERSION } from '../wire/protocol.ts'
import type { Init, WireLine } from '../wire/protocol.ts'
import { socketTransport } from '../wire/socket-transport.ts'
import { answer } from './answers.ts'

/** `fd`: the descriptor of the wire. */
export function openScriptChild(fd: number): void {
  const socket = new Socket({ fd, readable: true, writable: true })
  const transport = socketTransport(socket)
  // Not over the link, whose batches take a turn of the script's loop.
  const send = (text: string): void => void transport.write(`${text}\n`)
  let init: Init | undefined
  const heard = (said: WireLine): void => {
    if (said[0] === 'init') {
      init = said[1] as Init
      send(line('hello', WIRE_VERSION, process.pid, process.pid)) // the main thread has the id of its process
    } else if (init !== undefined) answer(said, send, init)
  }
  const link = new Link(transport, Number.POSITIVE_INFINITY, {
    onLine: heard,
    onBroken: () => socket.destroy(),
  })
  transport.listen({
    text(text) {
      try {
        link.receive(text)
      } catch {
        socket.destroy() // the script changed what this code needs of the language; it is not to fail for that
      }
    },
    drained: () => {},
    ended: () => {},
  })
  socket.unref()
}
