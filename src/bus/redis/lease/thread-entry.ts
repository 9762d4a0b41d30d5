// The thread that keeps the leases of a process.

import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../../../base/clock.ts'
import { createRedactor } from '../../../base/redact.ts'
import { LeaseKeeper } from './keeper.ts'
import { HEALTH_MS } from './protocol.ts'
import type { LeaseThreadData, ToThread } from './protocol.ts'

const { address, herd, token, beat } = workerData as LeaseThreadData
const counter = new Int32Array(beat)
let seen = Atomics.load(counter, 0)
let seenAt = systemClock.monotonic()

const keeper = new LeaseKeeper({
  address,
  herd,
  token,
  clock: systemClock,
  redact: createRedactor([address.account.password]),
  loopSilenceMs: () => {
    look()
    return systemClock.monotonic() - seenAt
  },
  say: (message) => parentPort?.postMessage(message),
})

function look(): void {
  const now = Atomics.load(counter, 0)
  if (now === seen) return
  seen = now
  seenAt = systemClock.monotonic()
}
const watching = setInterval(look, HEALTH_MS)

parentPort?.on('message', (message: ToThread) => {
  if (message.do !== 'end') return keeper.hear(message)
  clearInterval(watching)
  void keeper.end().then(() => parentPort?.close())
})
