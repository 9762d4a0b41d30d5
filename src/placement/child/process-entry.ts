// Entry of a process that hosts one worker. When its wire ends, the supervisor is gone and the process ends too.

import { Socket } from 'node:net'
import { takeMallocSetting } from '../../base/malloc.ts'
import { StopReason } from '../../worker/stop-reason.ts'
import { socketTransport } from '../wire/transports.ts'
import { takeStartNote } from '../wire/start-note.ts'
import type { StartNote } from '../wire/start-note.ts'
import { Child } from './child.ts'

const { fd } = takeStartNote(process.env) as StartNote
takeMallocSetting(process.env)
// Captured before the worker's guards are installed: the guarded process.exit ends only the run.
const exitNow = process.exit.bind(process)
const { setTimeout: nodeSetTimeout } = globalThis

const socket = new Socket({ fd, readable: true, writable: true })
const transport = socketTransport(socket)
/** The supervisor closes the wire when it has read the final record. If this end closed the socket with unread data in it,
 *  the supervisor's end would be reset and lose what it had not read. */
const LEAVE_MS = 1000
let leavingWith: number | undefined
const child = new Child(transport, (code) => {
  leavingWith = code
  nodeSetTimeout(() => exitNow(code), LEAVE_MS)
})
transport.listen({
  text: (text) => child.link.receive(text),
  drained: () => child.link.drained(),
  ended() {
    if (leavingWith !== undefined) exitNow(leavingWith)
    child.link.close()
    nodeSetTimeout(() => exitNow(1), child.stopTimeoutMs)
    child.abort(new StopReason('shutdown', 'supervisor', 'The supervisor is gone'))
  },
})

// The first SIGTERM requests a stop, as in a unit. After the abort it is the supervisor's last signal before SIGKILL.
process.on('SIGTERM', () => {
  if (child.aborted) exitNow(143)
  child.abort(new StopReason('stop', 'SIGTERM'))
})
