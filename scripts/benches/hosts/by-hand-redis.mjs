// The yardstick on Redis: 18 dormant workers by hand. Two connections, a channel for each worker, its module imported with
// the first message; pino for the log.
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import pino from 'pino'

const { bus, workers } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const log = pino()
const commands = new Redis(bus)
const subscriber = new Redis(bus)
const byChannel = new Map(
  Object.entries(workers).flatMap(([name, worker]) =>
    worker.activation.topics.map((topic) => [`byre:bench:${topic}`, { name, ...worker }]),
  ),
)

subscriber.on('message', (channel, text) => void wake(byChannel.get(channel), text))
for (const redis of [commands, subscriber]) redis.on('error', (error) => log.error({ err: error }, 'redis'))

async function wake({ name, module }, text) {
  try {
    const { run } = await import(pathToFileURL(module).href)
    await run({ name, log: log.child({ worker: name }), message: JSON.parse(text), bus: commands })
  } catch (error) {
    log.error({ err: error, worker: name }, 'failed')
  }
}

process.once('SIGTERM', () => {
  commands.disconnect()
  subscriber.disconnect()
})
await subscriber.subscribe(...byChannel.keys())
await commands.ping()
log.info({ event: 'ready', readyMs: Math.round(performance.now()) }, 'all workers are registered')
