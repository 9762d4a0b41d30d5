// The yardstick: what a competent engineer writes to run the same workers in one process. Same modules, same bus class,
// pino, one restart loop for each worker, a bounded stop. Takes the same config file; nothing of the supervisor.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import pino from 'pino'
import { systemClock } from '../../../build/src/base/clock.js'
import { createEmbeddedBus } from '../../../build/src/bus/embedded.js'

const { workers } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const log = pino()
const bus = createEmbeddedBus({ messageBytes: 1 << 20, buffer: 1000, clock: systemClock })
const stopping = new AbortController()
const { signal } = stopping
let waiting = Object.keys(workers).length

function workerReady() {
  if (--waiting === 0)
    log.info({ event: 'ready', readyMs: Math.round(performance.now()) }, 'all workers are ready')
}

function contextOf(name, config) {
  let ready = false
  return {
    name,
    config: config ?? {},
    env: process.env,
    signal,
    log: log.child({ worker: name }),
    bus,
    wake: { by: 'start', at: Date.now() },
    ready() {
      if (!ready) workerReady()
      ready = true
    },
  }
}

/** Keeps one worker running until the stop; its failures are its own. */
async function keep(name, { module, config }) {
  const ctx = contextOf(name, config)
  for (let delayMs = 1000; !signal.aborted; delayMs = Math.min(2 * delayMs, 60_000)) {
    try {
      const { run } = await import(pathToFileURL(module).href)
      await run(ctx)
      return
    } catch (error) {
      if (signal.aborted) return
      ctx.log.error({ err: error, delayMs }, 'failed')
      await sleep(delayMs, undefined, { signal }).catch(() => {})
    }
  }
}

process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'))
process.on('uncaughtException', (error) => log.error({ err: error }, 'uncaught exception'))
process.once('SIGTERM', () => {
  stopping.abort()
  setTimeout(() => process.exit(1), 5000).unref()
})
// An idle bus holds no handle: this timer keeps the process up, as a server's listener would.
const alive = setInterval(() => {}, 2 ** 31 - 1)
await Promise.all(Object.entries(workers).map(([name, worker]) => keep(name, worker)))
clearInterval(alive)
log.info('stopped')
