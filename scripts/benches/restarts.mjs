// Two workers share the clients of one module: an ioredis, fetch and an agent of node:http. One of them restarts 200 times while
// requests hang, time out and reconnect. What that costs the process, beside the same herd without restarts.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { sleep } from './lib/lanes.mjs'
import { startServer } from './lib/redis-server.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

const BIN = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const RESTARTS = 200
/** Caches of V8 and of the clients are filled by then. */
const WARM = 20
const HALF = 100
const PAUSE_MS = 40

export const describe = '200 restarts of a worker beside one that shares its clients: heap and private memory'
export const table = tableOf

export async function run(options) {
  const runs = { restarts: [], control: [] }
  for (let i = 1; i <= options.runs; i++) {
    options.note(`run ${i}/${options.runs}`)
    runs.restarts.push(await lane(options, true))
    runs.control.push(await lane(options, false))
  }
  const over = 'restarts over control'
  const heap = differenceOf(over, 'heapGrowthBytes', runs.restarts, runs.control)
  const slope = differenceOf(over, 'anonPerRestartBytes', runs.restarts, runs.control)
  const failed = figuresOf('restarts', runs.restarts).find(({ metric }) => metric === 'failuresCount')
  return buildResult('restarts', options, {
    settings: { restarts: RESTARTS, warmRestarts: WARM, pauseMs: PAUSE_MS },
    figures: [...figuresOf('restarts', runs.restarts), ...figuresOf('control', runs.control), heap, slope],
    claims: [
      claim(
        'heap after a collection, growth over 180 restarts',
        figuresOf('restarts', runs.restarts)[0],
        1e6,
      ),
      claim('slope of private memory over the last 100 restarts, over control', slope, 0),
      claim('failures of the worker that does not restart', failed, 0),
    ],
  })
}

async function lane({ node }, restarts) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-restarts-'))
  const redis = await startServer()
  const server = createServer((call, response) => {
    if (call.url !== '/hang') response.end('ok')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  writeHerd(folder, { redis: redis.port, http: server.address().port })
  const herd = spawn(
    node,
    ['--expose-gc', BIN, 'supervise', '--config', join(folder, 'byre.config.mjs'), '--log-format', 'json'],
    {
      env: {
        PATH: process.env.PATH,
        RUNTIME_DIRECTORY: join(folder, 'r'),
        STATE_DIRECTORY: join(folder, 's'),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const lines = createInterface({ input: herd.stdout })
  const next = (accept) =>
    new Promise((resolve) => {
      const onLine = (text) => {
        const line = JSON.parse(text)
        if (!accept(line)) return
        lines.off('line', onLine)
        resolve(line)
      }
      lines.on('line', onLine)
    })
  try {
    await next(({ event }) => event === 'ready')
    const socket = join(folder, 'r/restarts/_all.sock')
    const readings = {}
    for (let n = 1; n <= RESTARTS; n++) {
      if (restarts) {
        const used = next(({ worker, msg }) => worker === 'restarts' && msg === 'used')
        await post(socket, '/workers/restarts/restart')
        await used
      }
      await sleep(PAUSE_MS)
      if (![WARM, HALF, RESTARTS].includes(n)) continue
      const read = next(({ worker, msg }) => worker === 'keeps' && msg.startsWith('{'))
      herd.kill('SIGUSR2')
      readings[n] = JSON.parse((await read).msg)
    }
    return {
      heapGrowthBytes: readings[RESTARTS].heapUsedBytes - readings[WARM].heapUsedBytes,
      anonPerRestartBytes: (readings[RESTARTS].anonBytes - readings[HALF].anonBytes) / (RESTARTS - HALF),
      roundsCount: readings[RESTARTS].rounds,
      failuresCount: readings[RESTARTS].failures,
      openFilesCount: readings[RESTARTS].openFiles,
    }
  } finally {
    herd.kill()
    await once(herd, 'exit')
    server.closeAllConnections()
    server.close()
    await redis.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function post(socketPath, path) {
  return new Promise((resolve, reject) =>
    request({ socketPath, path, method: 'POST' }, (response) => response.resume().on('end', resolve))
      .on('error', reject)
      .end(),
  )
}

function writeHerd(folder, ports) {
  mkdirSync(join(folder, 'workers'))
  const write = (name, text) => writeFileSync(join(folder, name), text)
  write(
    'byre.config.mjs',
    `export default { name: 'restarts', workers: {
  restarts: { module: './workers/restarts.mjs', stopTimeout: '2s', after: ['keeps'] },
  keeps: { module: './workers/keeps.mjs', ready: 'call' } } }`,
  )
  write(
    'clients.mjs',
    `import http from 'node:http'
import { Redis } from ${JSON.stringify(import.meta.resolve('ioredis'))}
const agent = new http.Agent({ keepAlive: true })
let client
export const redis = () => (client ??= new Redis(${ports.redis}, { lazyConnect: true, retryStrategy: () => 5 }))
export const url = 'http://127.0.0.1:${ports.http}/'
export const get = (path, timeout) => new Promise((resolve, reject) => {
  const call = http.get(url + path, { agent, timeout }, (response) => response.resume().on('end', resolve))
  call.on('error', reject).on('timeout', () => call.destroy(new Error('timed out')))
})`,
  )
  const stopped = `if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
  write(
    'workers/restarts.mjs',
    `import { get, redis, url } from '../clients.mjs'
export async function run(ctx) {
  await Promise.all([redis().ping(), fetch(url).then((response) => response.text()), get('')])
  const hang = (promise) => void promise.catch(() => {})
  hang(fetch(url + 'hang'))
  hang(get('hang'))
  hang(redis().duplicate().blpop('never', 0))
  setInterval(() => {}, 1000)
  console.log('used')
  ${stopped}
}`,
  )
  write(
    'workers/keeps.mjs',
    `import { readFileSync, readdirSync } from 'node:fs'
import { get, redis, url } from '../clients.mjs'
export async function run(ctx) {
  let rounds = 0, failures = 0
  const check = (promise, ok) => promise.then(ok, ok).then((fine) => { if (!fine) failures++ })
  process.on('SIGUSR2', () => {
    gc()
    gc()
    const [, kib] = /^Anonymous: +(\\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'latin1'))
    console.log(JSON.stringify({ heapUsedBytes: process.memoryUsage().heapUsed, anonBytes: kib * 1024, rounds, failures, openFiles: readdirSync('/proc/self/fd').length }))
  })
  for (; !ctx.signal.aborted; rounds++) {
    await Promise.all([
      check(redis().ping(), (reply) => reply === 'PONG'),
      check(fetch(url).then((response) => response.text()), (text) => text === 'ok'),
      check(fetch(url + 'hang', { signal: AbortSignal.timeout(15) }), (error) => error.name === 'TimeoutError'),
      check(get('hang', 15), (error) => error?.message === 'timed out'),
    ])
    if (rounds === 0) ctx.ready()
    if (rounds % 10 === 9) await redis().client('kill', 'type', 'normal', 'skipme', 'no').catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}`,
  )
}
