// Attacks on the control socket of a real process: for any input the server answers or closes the connection, continues to serve
// others, does not leak memory, and passes only valid commands to the target.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { ask } from '../../src/control/client.ts'
import { startCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { call, rawClient, socketFolder } from './raw-client.ts'

leakGuard(t)

const PEAK_GROWTH_BYTES = 64 * 1024 * 1024
const child = join(dirname(fileURLToPath(import.meta.url)), 'server-child.js')
const path = join(socketFolder(t), 'fuzz.sock')
const server = startCleanNode([child, path], { stdio: ['pipe', 'pipe', 'pipe'] })
t.teardown(() => server.kill())
await server.stdout.next('listening')

/** A field of /proc/<pid>/status in bytes. */
function memory(field: 'VmRSS' | 'VmHWM'): number {
  const text = readFileSync(`/proc/${server.pid}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1]) * 1024
}

/** Checks that the server answers an ordinary client, and that this many commands have reached its target. */
async function commandsSeen(): Promise<number> {
  const { json, status } = await call(path, 'GET', '/workers')
  if (status !== 200) throw new Error(`status ${status}`)
  return (json['workers'] as { restarts: number }[])[0]!.restarts
}

/** Sends bytes, ends the sending side, and waits until the server has closed. */
async function attack(bytes: string | Buffer): Promise<string> {
  const client = rawClient(path, bytes)
  client.socket.end()
  return client.closed
}

const post = (body: string, more = ''): string =>
  `POST /workers/webhook/stop HTTP/1.1\r\nHost: x\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0)

let rssBefore = 0
t.test('one ordinary command is executed', async (t) => {
  t.equal((await call(path, 'POST', '/workers/webhook/stop')).status, 202)
  t.equal(await commandsSeen(), 1)
  rssBefore = memory('VmRSS')
})

t.test('random bytes are answered 400 or closed', async (t) => {
  const bytes = fc.uint8Array({ maxLength: 4096 }).map((b) => Buffer.from(b))
  const statuses = new Set<number>()
  await fc.assert(
    fc.asyncProperty(bytes, async (b) => {
      statuses.add(statusOf(await attack(b)))
    }),
    { numRuns: 200 },
  )
  for (const status of statuses) t.ok([0, 400, 431].includes(status), `${status}`)
  t.equal(await commandsSeen(), 1)
})

t.test('requests truncated, doubled and corrupted at any position execute nothing', async (t) => {
  // The body is valid, the action is not: no edit of a few characters may make it a command.
  const request = post('{"id":"a","by":"b"}').replace('/stop', '/explode')
  const spoilt = fc
    .tuple(fc.nat(request.length), fc.nat(request.length), fc.string({ unit: 'binary', maxLength: 8 }))
    .map(([from, to, insert]) => request.slice(0, from) + insert + request.slice(to))
  await fc.assert(
    fc.asyncProperty(spoilt, async (text) => {
      const status = statusOf(await attack(Buffer.from(text)))
      return [0, 400, 404, 405, 413, 431].includes(status)
    }),
    { numRuns: 300 },
  )
  t.equal(await commandsSeen(), 1)
})

t.test('a body of any JSON other than a command body is refused', async () => {
  const key = fc.constantFrom(
    'id',
    'by',
    'args',
    'v',
    '__proto__',
    'constructor',
    'worker',
    'action',
    'toString',
  )
  const json = fc.oneof(
    fc.json(),
    fc.dictionary(key, fc.jsonValue()).map((value) => JSON.stringify({ ...value, force: 1 })),
    fc.string({ unit: 'binary' }),
  )
  await fc.assert(
    fc.asyncProperty(json, async (body) => {
      const status = statusOf(await attack(post(body)))
      return status === 400 || (status === 202 && /^\s*(\{\s*\})?\s*$/.test(body))
    }),
    {
      numRuns: 300,
      examples: [['{"__proto__":{"id":"x"}}'], ['{"constructor":{}}'], ['\0'], ['"'], ['null']],
    },
  )
})

t.test('deep nesting is refused without descending into it', async (t) => {
  const before = await commandsSeen()
  for (const body of [
    '['.repeat(65_000),
    '{"args":'.repeat(8_000),
    `{"args":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
    `{"args":${'{"to":'.repeat(9_000)}1${'}'.repeat(9_000)}}`,
  ]) {
    const text = await attack(post(body))
    t.equal(statusOf(text), 400)
    t.ok(text.length < 2000, 'the answer does not repeat the message')
  }
  t.equal(await commandsSeen(), before)
})

t.test(
  'bodies of 10 MB are refused without being read: announced, chunked, lied about, on a GET',
  async (t) => {
    const before = await commandsSeen()
    const big = 'x'.repeat(10 * 1024 * 1024)
    const chunk = `100000\r\n${'x'.repeat(1024 * 1024)}\r\n`
    const head = 'POST /workers/webhook/stop HTTP/1.1\r\nHost: x\r\n'
    t.equal(statusOf(await attack(post(big))), 413, 'announced')
    t.equal(
      statusOf(await attack(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(10)}0\r\n\r\n`)),
      413,
      'chunked',
    )
    t.equal(
      statusOf(await attack(`${head}Content-Length: 99999999999999999999\r\n\r\n${big}`)),
      400,
      'no number',
    )
    const more = await attack(`${head}Content-Length: 2\r\n\r\n{}${big}`)
    t.ok([0, 202].includes(statusOf(more)), 'more than announced: what was announced is the request')
    const get = `GET /workers HTTP/1.1\r\nHost: x\r\nContent-Length: ${big.length}\r\n\r\n${big}`
    t.ok([0, 200].includes(statusOf(await attack(get))), 'on a GET')
    t.equal(
      statusOf(await attack(`GET /workers HTTP/1.1\r\nHost: x\r\nX: ${big}\r\n\r\n`)),
      431,
      'as a header',
    )
    t.equal(statusOf(await attack(`GET /${big} HTTP/1.1\r\nHost: x\r\n\r\n`)), 431, 'as a path')
    t.equal(await commandsSeen(), before + 1)
  },
)

t.test('slow clients are closed while others are answered', async (t) => {
  const before = await commandsSeen()
  const drip = (bytes: string, everyMs: number): Promise<string> => {
    const client = rawClient(path)
    let at = 0
    const timer = setInterval(() => client.socket.write(bytes[at++ % bytes.length]!), everyMs)
    return client.closed.finally(() => clearInterval(timer))
  }
  const slow = [
    drip(post('{}'), 20),
    drip('GET /workers HTTP/1.1\r\nX: ', 20),
    rawClient(path).closed,
    rawClient(path, post('{}').slice(0, -1)).closed,
    rawClient(path, 'GET /workers HTTP/1.1\r\n').closed,
  ]
  t.equal(await commandsSeen(), before)
  for (const text of await Promise.all(slow)) t.equal(text, '')
  t.equal(await commandsSeen(), before)
})

t.test(
  '1000 connections at once: 100 are served, the next 100 answered 429, the rest closed, then it serves again',
  async (t) => {
    const clients = Array.from({ length: 1000 }, () => rawClient(path, 'GET /wor'))
    const texts = await Promise.all(clients.map((client) => client.closed))
    const turnedAway = texts.filter((text) => statusOf(text) === 429).length
    t.ok(turnedAway >= 100, `${turnedAway} of 1000 were answered 429`)
    t.equal(texts.filter((text) => text !== '' && statusOf(text) !== 429).length, 0)
    const quick = await Promise.all(
      Array.from({ length: 90 }, () => ask(path, { method: 'GET', path: '/workers' }).then((a) => a.status)),
    )
    t.same(new Set(quick), new Set([200]))
  },
)

t.test(
  '10,000 pipelined commands execute once; commands pipelined behind an event stream never',
  async (t) => {
    const before = await commandsSeen()
    t.match(await attack(post('{}').repeat(10_000)), /^HTTP\/1.1 202/)
    t.equal(await commandsSeen(), before + 1)
    const events = rawClient(path, 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
    await events.receives(/: byre/)
    events.socket.write(post('{}').repeat(50_000))
    t.equal(await commandsSeen(), before + 1)
    events.socket.destroy()
    t.equal(await commandsSeen(), before + 1)
  },
)

t.test('the input has not stayed in memory, and the log has one line per kind', async (t) => {
  const growth = memory('VmHWM') - rssBefore
  t.ok(growth < PEAK_GROWTH_BYTES, `peak RSS grew by ${(growth / 1e6).toFixed(1)} MB`)
  t.comment(
    `peak RSS ${(memory('VmHWM') / 1e6).toFixed(1)} MB, before the attacks ${(rssBefore / 1e6).toFixed(1)} MB`,
  )
  server.child.stdin?.end()
  const { refused, logLines } = JSON.parse(await server.stdout.next(/^\{/)) as {
    refused: Record<string, number>
    logLines: number
  }
  t.comment(JSON.stringify(refused))
  t.equal(logLines, Object.keys(refused).length + 1, 'and the summary')
  t.equal((await server.exit).code, 0)
})
