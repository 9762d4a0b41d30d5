// Preloaded with --import into both hosts alike: measures the loop delay between two orders on descriptor 3.
import { Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'

const delay = monitorEventLoopDelay({ resolution: 10 })
const orders = new Socket({ fd: 3 })
orders.unref()
orders.setEncoding('utf8')
orders.on('data', (text) => {
  if (text.includes('start')) {
    delay.reset()
    delay.enable()
    orders.write('started\n')
  }
  if (text.includes('stop')) {
    delay.disable()
    // The histogram holds whole periods of the timer, in ns: what exceeds its resolution is delay.
    const ms = (ns) => Math.max(0, ns / 1e6 - 10)
    const result = { p50Ms: ms(delay.percentile(50)), p99Ms: ms(delay.percentile(99)), maxMs: ms(delay.max) }
    orders.write(`${JSON.stringify({ ...result, samples: delay.count })}\n`)
  }
})
