// Simulates the environment of the herd: the relay, a webhook receiver that sometimes fails, and the users and machines
// that place orders, pay, write logs, send lines and upload pictures. It is not included in the measured memory.
// To run it by hand, start `DEMO_DIR=/tmp/byre-demo node demo/world.mjs` and `byre supervise` with the same DEMO_DIR.

import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRelay } from './relay.mjs'

const BEAT_MS = 100
const ROTATE_EVERY = 50 // log lines

/**
 * @typedef {Object} World
 * @property {import('./relay.mjs').Relay} relay
 * @property {string} url  The URL to which webhooks are sent.
 * @property {() => Facts} facts  The results as counted from outside, independently of the workers.
 * @property {(group: string) => string[]} unfinished  Describes the remaining work; empty when all work is done.
 * @property {(count?: number, perSecond?: number) => void} feed  Generates the work of `count` orders (default: without
 *   end), 1 to 10 per second.
 * @property {() => boolean} fed  Whether all work has been generated.
 * @property {() => Promise<void>} close
 */

/**
 * @typedef {Object} Facts
 * @property {number} ordersPlaced  Each becomes one webhook.
 * @property {number} hooksReceived  Distinct webhooks accepted by the receiver.
 * @property {number} hooksRefused  Attempts that it answered with 503 or disconnected.
 * @property {number} linesLogged  Lines written to the log, across rotations.
 * @property {number} linesForwarded  Lines `logtail` has written.
 * @property {number} linesDistinct  Distinct lines sent over TCP.
 * @property {number} linesLetThrough  Lines `dedupe` has let through.
 * @property {number} picturesDropped
 * @property {number} thumbnailsMade
 */

/**
 * Starts everything in `dir` without generating work. The receiver listens on the loopback port `port`; 0 selects a free
 * one.
 * @param {{ dir: string, port?: number, feeds?: readonly ('main' | 'reports')[] }} options
 * @returns {Promise<World>}
 */
export async function startWorld({ dir, port = 0, feeds = ['main', 'reports'] }) {
  mkdirSync(join(dir, 'inbox'), { recursive: true })
  const relay = await startRelay(join(dir, 'relay.sock'))
  const receiver = await startReceiver(port)
  const log = makeLog(join(dir, 'app.log'))
  const lines = makeLineSender(join(dir, 'tcp-lines.json'))
  const pictures = makePictures(join(dir, 'inbox'))
  let orders = 0
  let readings = 0
  let due = 0
  let beatsPerOrder = 1

  const feedMain = () => {
    orders++
    relay.put('orders', [
      { id: orders, customerId: 1 + (orders % 50), productId: 1 + (orders % 50), quantity: 1 + (orders % 3) },
    ])
    relay.put('payments', [
      { id: orders, invoiceId: 1 + (orders % 200), cents: orders % 5 === 0 ? 990 : 1000 },
    ])
    relay.put('mutations', [{ id: orders, productId: 1 + (orders % 50), delta: orders % 2 === 0 ? -3 : 2 }])
    relay.put('sessions', [{ id: orders, token: `token-${orders}`, ttlMs: 500 }])
    log.write(`${new Date().toISOString()} order ${orders} placed`)
    lines.send([`reading ${orders}`, `reading ${Math.max(1, orders - 1)}`]) // each line twice
    if (orders % 5 === 0) pictures.drop()
  }
  const feedReports = () => {
    readings++
    relay.put('report.orders', [{ price: 100 + (readings % 20), cost: 60 + (readings % 15) }])
    relay.put('report.readings', [
      readings % 2 === 0 ? { value: 3.6, unit: 'MJ' } : { value: 1, unit: 'kWh' },
    ])
    relay.put('report.points', [{ value: 10 + readings * 0.5 }])
  }
  let beat = 0
  const timer = setInterval(() => {
    if (due === 0 || ++beat % beatsPerOrder !== 0) return
    due--
    if (feeds.includes('main')) feedMain()
    if (feeds.includes('reports')) feedReports()
  }, BEAT_MS)

  const facts = () => ({
    ordersPlaced: orders,
    ...receiver.facts(),
    linesLogged: log.written(),
    linesForwarded: countLines(join(dir, 'forwarded.log')),
    linesDistinct: lines.distinct(),
    linesLetThrough: countLines(join(dir, 'lines.log')),
    picturesDropped: pictures.dropped(),
    thumbnailsMade: countFiles(join(dir, 'thumbs')),
  })
  return {
    relay,
    url: receiver.url,
    facts,
    unfinished(group) {
      const queued = Object.entries(relay.depths())
        .filter(([name, depth]) => depth > 0 && name.startsWith('report.') === (group === 'reports'))
        .map(([name, depth]) => `${depth} items are left in queue '${name}'`)
      return group === 'reports' ? queued : [...queued, ...differences(facts())]
    },
    fed: () => due === 0,
    feed(count = Number.POSITIVE_INFINITY, perSecond = 10) {
      due = count
      beatsPerOrder = Math.max(1, Math.round(1000 / BEAT_MS / perSecond))
    },
    async close() {
      clearInterval(timer)
      lines.close()
      await Promise.all([receiver.close(), relay.close()])
    },
  }
}

/** @param {Facts} facts @returns {string[]} */
function differences(facts) {
  /** @type {[number, number, string][]} */
  const pairs = [
    [facts.hooksReceived, facts.ordersPlaced, 'webhooks were received'],
    [facts.linesForwarded, facts.linesLogged, 'log lines were forwarded'],
    [facts.linesLetThrough, facts.linesDistinct, 'distinct lines were let through'],
    [facts.thumbnailsMade, facts.picturesDropped, 'thumbnails were made'],
  ]
  return pairs.filter(([is, due]) => is !== due).map(([is, due, what]) => `${is} of ${due} ${what}`)
}

/**
 * Starts a receiver with realistic faults that are the same in every run: every fourth webhook is first answered with 503,
 * every eleventh is first disconnected, and every twentieth fails often enough to become a dead letter.
 * @param {number} port
 */
async function startReceiver(port) {
  /** @type {Map<string, number>} */
  const attempts = new Map()
  /** @type {Set<string>} */
  const received = new Set()
  let refused = 0
  const server = http.createServer((request, response) => {
    const key = String(request.headers['idempotency-key'])
    const number = Number(/\d+$/.exec(key)?.[0] ?? 0)
    const attempt = (attempts.get(key) ?? 0) + 1
    if (attempts.size < 100_000) attempts.set(key, attempt)
    request.resume().on('end', () => {
      const fails =
        number % 20 === 0 ? attempt <= 4 : (number % 4 === 0 || number % 11 === 0) && attempt === 1
      if (!fails) {
        if (received.size < 100_000) received.add(key)
        return void response.writeHead(204).end()
      }
      refused++
      if (number % 11 === 0) request.socket.destroy()
      else response.writeHead(503).end('busy\n')
    })
  })
  await new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(undefined)))
  const address = /** @type {net.AddressInfo} */ (server.address())
  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    facts: () => ({ hooksReceived: received.size, hooksRefused: refused }),
    close: () =>
      new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections()
      }),
  }
}

/** Writes a log that is rotated by renaming, as logrotate does. @param {string} file */
function makeLog(file) {
  let written = 0
  return {
    /** @param {string} line */
    write(line) {
      appendFileSync(file, `${line}\n`)
      if (++written % ROTATE_EVERY === 0) renameSync(file, `${file}.1`)
    },
    written: () => written,
  }
}

/** Sends lines to the port in `portFile`, as soon as that file exists. @param {string} portFile */
function makeLineSender(portFile) {
  /** @type {Set<string>} */
  const sent = new Set()
  /** @type {net.Socket | undefined} */
  let socket
  const connect = () => {
    try {
      const { port } = JSON.parse(readFileSync(portFile, 'utf8'))
      socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {}) // 'close' follows
      socket.on('close', () => void (socket = undefined))
    } catch {} // not listening yet
  }
  return {
    /** @param {string[]} lines */
    send(lines) {
      if (socket === undefined) connect()
      if (socket === undefined || !socket.writable || socket.writableLength > 64 * 1024) return
      socket.write(`${lines.join('\n')}\n`)
      for (const line of lines) if (sent.size < 100_000) sent.add(line)
    },
    distinct: () => sent.size,
    close: () => socket?.destroy(),
  }
}

/** @param {string} inbox */
function makePictures(inbox) {
  const side = 64
  let dropped = 0
  return {
    drop() {
      const name = `picture-${++dropped}.pgm`
      const pixels = Buffer.from(Array.from({ length: side * side }, (_, i) => (i * dropped) % 256))
      writeFileSync(
        join(inbox, `${name}.part`),
        Buffer.concat([Buffer.from(`P5\n${side} ${side}\n255\n`), pixels]),
      )
      renameSync(join(inbox, `${name}.part`), join(inbox, name))
    },
    dropped: () => dropped,
  }
}

/** @param {string} file */
function countLines(file) {
  try {
    return readFileSync(file, 'latin1').split('\n').length - 1
  } catch {
    return 0
  }
}

/** @param {string} folder */
function countFiles(folder) {
  try {
    return readdirSync(folder).filter((name) => !name.endsWith('.part')).length
  } catch {
    return 0
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dir = process.env['DEMO_DIR'] ?? join(tmpdir(), 'byre-demo')
  const world = await startWorld({ dir, port: 8088 })
  world.feed()
  process.stdout.write(
    `The demo's environment is running in ${dir}; webhooks go to ${world.url}. Press Ctrl-C to stop.\n`,
  )
  process.once('SIGINT', () => void world.close())
}
