// Entry of a thread that hosts one worker. The wire is a separate port: parentPort stays untouched.

import { workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'
import { portTransport } from '../wire/transports.ts'
import { Child } from './child.ts'

const exitNow = process.exit.bind(process)
const data = workerData as { port?: MessagePort }
const port = data.port as MessagePort
delete data.port

const transport = portTransport(port)
// Posted messages are not lost: the supervisor reads the port to its end before it handles the exit.
const child = new Child(transport, (code) => exitNow(code))
transport.listen({
  text: (text) => child.link.receive(text),
  posted: (line) => child.link.receivePosted(line),
  drained: () => child.link.drained(),
})
