// Entry of a process that hosts one worker. When its wire ends the supervisor is gone, and so is this process.

import { Socket } from 'node:net'
import { takeMallocSetting } from '../../base/malloc.ts'
import { StopReason } from '../../worker/stop-reason.ts'
import { socketTransport } from '../wire/socket-transport.ts'
import { takeStartNote } from '../wire/start-note.ts'
import type { StartNote } from '../wire/start-note.ts'
import { Child } from './child.ts'

const { fd } = takeStartNote(process.env) as StartNote
takeMallocSetting(process.env)
// Taken before the worker's guards: a worker's process.exit ends its run, this one the process.
const exitNow = process.exit.bind(process)
const { setTimeout: hostSetTimeout } = globalThis

const socket = new Socket({ fd, readable: true, writable: true })
const transport = socketTransport(socket)
/** The host closes the wire when it has read the last word; a socket closed from here with something unread in it would
 *  reset the host's end, and with it what the host had not read. */
const FAREWELL_MS = 1000
let leavingWith: number | undefined
const guest = new Child({
  transport,
  leave(code) {
    leavingWith = code
    hostSetTimeout(() => exitNow(code), FAREWELL_MS)
  },
})
transport.listen({
  text: (text) => guest.link.receive(text),
  drained: () => guest.link.drained(),
  ended() {
    if (leavingWith !== undefined) exitNow(leavingWith)
    guest.link.close()
    hostSetTimeout(() => exitNow(1), guest.stopTimeoutMs)
    guest.abort(new StopReason('shutdown', 'supervisor', 'The supervisor is gone'))
  },
})

// The first is a wish, as in a unit of its own; after the abort it is the supervisor's last word before SIGKILL.
process.on('SIGTERM', () => {
  if (guest.aborted) exitNow(143)
  guest.abort(new StopReason('stop', 'SIGTERM'))
})
// A terminal's Ctrl-C reaches every process of the job; the supervisor stops its workers in order.
process.on('SIGINT', () => {})
