// Loaded before an unmodified script in a process of its own: ends the process when its wire does, since the
// supervisor is gone then. Keeps nothing alive.

import { Socket } from 'node:net'
import { takeMallocSetting } from '../../../base/malloc.ts'
import { takeWireFd } from '../wire/wire-fd.ts'

takeMallocSetting(process.env)
const exitNow = process.exit.bind(process)
const socket = new Socket({ fd: takeWireFd(process.env), readable: true, writable: false })
socket.on('error', () => {})
socket.on('close', () => exitNow(1))
socket.resume()
socket.unref()
