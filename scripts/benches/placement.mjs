// What a separate process costs a worker: deliveries per second across the wire, and a live move beside the same worker's
// cold `byre run`. During the move a sibling goes on publishing numbered messages to it; none may be missing.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createInterface } from 'node:readline'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'
import { MALLOC_ENV, V8_FLAGS } from './lib/flags.mjs'
import { sleep } from './lib/lanes.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'
import { fileURLToPath } from 'node:url'

const BYRE = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const FLOOR = new URL('./herd/floor.mjs', import.meta.url).href
const MESSAGES = 300_000

export const describe =
  'a worker in a separate process: deliveries per second, live move compared with a cold start'
export const table = tableOf

/** 100 bytes of JSON. */
const PAYLOAD = `{ id: 'ord_01j9x3k8', kind: 'order.created', total: 1234.5, items: [1, 2, 3], note: 'leave it at the' }`

const SOURCES = {
  sender: `export async function run(ctx) {
  const payload = ${PAYLOAD}
  if (JSON.stringify(payload).length !== 100) throw new Error('not 100 bytes')
  for await (const _ of ctx.bus.subscribe('go', { signal: ctx.signal }))
    for (let sent = 0; sent < ${MESSAGES}; ) {
      for (let i = 0; i < 500; i++, sent++) void ctx.bus.publish('load.orders', payload)
      await new Promise((resolve) => setImmediate(resolve))
    }
}`,
  receiver: `export async function run(ctx) {
  let count = 0
  let startedAt
  const load = ctx.bus.subscribe('load.>', { signal: ctx.signal, buffer: 1_000_000 })
  await load.ready
  void ctx.bus.publish('go', null)
  for await (const { payload } of load) {
    if (payload.total !== 1234.5) throw new Error('a wrong payload')
    startedAt ??= performance.now()
    if (++count === ${MESSAGES})
      ctx.log.info({ event: 'rate', perSecond: (count - 1) / ((performance.now() - startedAt) / 1000), dropped: load.dropped }, 'done')
  }
}`,
  mover: `import { database } from '${FLOOR}'
export async function run(ctx) {
  ctx.log.info({ event: 'begun' }, 'begun')
  await database()
  const seen = []
  const feed = ctx.bus.subscribe('feed', { signal: ctx.signal })
  ctx.ready()
  for await (const { payload } of feed) seen.push(payload)
  ctx.log.info({ event: 'seen', first: seen[0], last: seen.at(-1), count: seen.length }, 'seen')
}`,
  feeder: `export async function run(ctx) {
  let n = 0
  ctx.every(10, () => ctx.bus.publish('feed', ++n), { jitter: 0 })
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`,
}

export async function run(options) {
  const runs = { rate: [], move: [], cold: [] }
  for (let i = 1; i <= options.runs; i++) {
    options.note(`run ${i}/${options.runs}`)
    runs.rate.push(await measureRate(options.node))
    runs.cold.push(await measureCold(options.node))
    runs.move.push(await measureMove(options.node))
  }
  const rate = figuresOf('shared to process', runs.rate)
  const move = figuresOf('live move', runs.move)
  const [ended, lost] = ['oldEndedBeforeMs', 'lostCount'].map((name) =>
    move.find(({ metric }) => metric === name),
  )
  const over = differenceOf('live move over cold run', 'readyMs', runs.move, runs.cold)
  return buildResult('placement', options, {
    settings: { messages: MESSAGES, payloadBytes: 100, mover: 'imports an ORM and opens its database' },
    figures: [...rate, ...figuresOf('cold byre run', runs.cold), ...move, over],
    claims: [
      claim('deliveries per second to a process', rate[0], 60_000, 'at least'),
      claim('messages dropped on the way', rate[1], 0),
      claim('live move over the cold run of the same worker', over, 150),
      claim(
        'end of the old instance before the begin of the new',
        { ...ended, median: ended.min },
        0,
        'at least',
      ),
      claim('messages lost by the move', { ...lost, median: lost.max }, 0),
    ],
  })
}

async function measureRate(node) {
  const byre = start(node, { sender: {}, receiver: { placement: 'process', after: ['sender'] } }, [
    'supervise',
  ])
  const { perSecond, dropped } = await byre.line('rate')
  await byre.stop()
  return { perSecond, droppedCount: dropped }
}

async function measureCold(node) {
  const startedAt = Date.now()
  const byre = start(node, { mover: { ready: 'call' } }, ['run', 'mover'])
  const { time } = await byre.line('ready')
  await byre.stop()
  return { readyMs: time - startedAt }
}

async function measureMove(node) {
  const byre = start(node, { feeder: {}, mover: { ready: 'call', after: ['feeder'] } }, ['supervise'])
  await byre.line('ready')
  await sleep(1000)
  const askedAt = Date.now()
  byre.post('/workers/mover/move', { to: 'process' })
  const first = await byre.line('seen')
  const { time } = await byre.line(
    'transition',
    (line) => line.worker === 'mover' && line.to === 'running' && line.time > askedAt,
  )
  await sleep(500)
  await byre.stop()
  const begun = await byre.line('begun', (line) => line.time >= askedAt)
  const second = await byre.line('seen', (line) => line !== first && line.first > first.first)
  const total = second.last - first.first + 1
  return {
    readyMs: time - askedAt,
    oldEndedBeforeMs: begun.time - first.time,
    lostCount: total - first.count - second.count,
  }
}

/** A herd of these workers in a folder of its own. */
function start(node, workers, command) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-placement-'))
  for (const name of Object.keys(workers)) {
    writeFileSync(join(folder, `${name}.mjs`), SOURCES[name])
    workers[name].module = join(folder, `${name}.mjs`)
  }
  const config = join(folder, 'byre.config.json')
  writeFileSync(config, JSON.stringify({ name: 'p', defaults: { stall: { detect: false } }, workers }))
  const socketPath = join(folder, 's.sock')
  const env = { ...MALLOC_ENV, BYRE_MALLOC: '1', XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }
  const args = [...command, '--config', config, '--socket', socketPath, '--log-format', 'json']
  const child = spawnClean([node, ...V8_FLAGS, BYRE, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = []
  const waiting = new Set()
  createInterface({ input: child.stdout }).on('line', (text) => {
    lines.push(JSON.parse(text))
    for (const check of waiting) check()
  })
  const closed = once(child, 'close')
  return {
    line(event, fits = () => true) {
      return new Promise((resolve, reject) => {
        const check = () => {
          const found = lines.find((line) => line.event === event && fits(line))
          if (found === undefined) return
          waiting.delete(check)
          resolve(found)
        }
        waiting.add(check)
        check()
        void closed.then(() => {
          check()
          reject(new Error(`byre ended without a line '${event}': ${JSON.stringify(lines.slice(-5))}`))
        })
      })
    },
    post(path, args) {
      const headers = { 'content-type': 'application/json' }
      request({ socketPath, path, method: 'POST', headers, agent: false }, (response) =>
        response.resume(),
      ).end(JSON.stringify({ args }))
    },
    async stop() {
      child.kill('SIGTERM')
      await closed
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
