// Preloaded with --import into the supervisor: at each line on descriptor 3 everything that can be collected is, and what
// is left of its private memory is answered. Read from outside, half a second after a collection it has risen by a
// megabyte again.
import { Session } from 'node:inspector'
import { Socket } from 'node:net'
import { readSmapsRollup } from '../../../build/src/procfs/smaps-rollup.js'

// Its workers' processes inherit the flag, and have another use for the descriptor.
if (process.argv.includes('supervise')) {
  const orders = new Socket({ fd: 3 })
  orders.unref()
  orders.setEncoding('utf8')
  orders.on('data', () => void answer(orders))
}

async function answer(orders) {
  const session = new Session()
  session.connect()
  // Twice: what the finalizers of the first let go of is collected by the second.
  await collect(session)
  await collect(session)
  const rollup = readSmapsRollup('self')
  setImmediate(() => session.disconnect())
  orders.write(
    `${JSON.stringify(rollup.ok ? { anonBytes: rollup.value.anonBytes } : { reason: rollup.reason })}\n`,
  )
}

function collect(session) {
  return new Promise((resolve) => session.post('HeapProfiler.collectGarbage', resolve))
}
