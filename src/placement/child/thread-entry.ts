// Entry of a thread that hosts one worker. The wire is a port of its own: parentPort stays untouched, for nobody.

import { workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { portTransport } from '../wire/port-transport.ts'
import { Child } from './child.ts'

const exitNow = process.exit.bind(process)
const given = workerData as { port?: MessagePort }
const port = given.port as MessagePort
delete given.port

const transport = portTransport(port)
const guest = new Child({
  transport,
  // What was posted arrives: the host reads the port to its end before it hears of the exit.
  leave: (code) => exitNow(code),
})
transport.listen({
  text: (text) => guest.link.receive(text),
  posted: (line) => guest.link.receivePosted(line),
  drained: () => guest.link.drained(),
})
