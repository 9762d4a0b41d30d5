// Entry point of the thread that maintains the leases of a process.

import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../../base/clock.ts'
import { createRedactor } from '../../../base/redact.ts'
import { LeaseKeeper } from './keeper.ts'
import { HEARTBEAT_MS } from './protocol.ts'
import type { LeaseThreadData, ToThread } from './protocol.ts'

const { address, herd, token, heartbeat } = workerData as LeaseThreadData
const counter = new Int32Array(heartbeat)
let lastCount = Atomics.load(counter, 0)
let changedAt = systemClock.monotonic()

const keeper = new LeaseKeeper({
  address,
  herd,
  token,
  clock: systemClock,
  redact: createRedactor([address.account.password]),
  loopSilenceMs: () => {
    sample()
    return systemClock.monotonic() - changedAt
  },
  send: (message) => parentPort?.postMessage(message),
})

function sample(): void {
  const count = Atomics.load(counter, 0)
  if (count === lastCount) return
  lastCount = count
  changedAt = systemClock.monotonic()
}
const sampling = setInterval(sample, HEARTBEAT_MS)

parentPort?.on('message', (message: ToThread) => {
  if (message.do !== 'end') return keeper.receive(message)
  clearInterval(sampling)
  void keeper.end().then(() => parentPort?.close())
})
