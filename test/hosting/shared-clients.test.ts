// Two workers use one client of a shared module. One of them, which has opened its connections, restarts again and again: the
// other's requests, time-outs and reconnects go on as if it did not.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'

leakGuard(t)

const RESTARTS = 10
const WAIT = `if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`

/** The client is created by whichever worker calls first: here by the one that restarts. */
const workers = (use: string): Record<string, string> => ({
  restarts: `
import { use } from '../client.mjs'
export async function run(ctx) {
  await use(ctx)
  console.log('used')
  void use(ctx, 'hang').catch(() => {})
  ${WAIT}
}`,
  keeps: `
import { use, more } from '../client.mjs'
export async function run(ctx) {
  for (let n = 1; !ctx.signal.aborted; n++) {
    ${use}
    console.log('round ' + n)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}`,
})

async function restartAndCheck(t: Test, files: Record<string, string>, use: string): Promise<void> {
  const herd = await startHerd(t, {
    files,
    workers: workers(use),
    config: {
      workers: { restarts: { stopTimeout: '2s' }, keeps: { after: ['restarts'], stopTimeout: '2s' } },
    },
  })
  await herd.line({ worker: 'restarts', msg: 'used' })
  await herd.line({ worker: 'keeps', msg: /^round/ })
  for (let n = 0; n < RESTARTS; n++) {
    const from = herd.mark()
    await herd.act('restarts', 'restart')
    await herd.line({ worker: 'restarts', msg: 'used' }, from)
    await herd.line({ worker: 'keeps', msg: /^round/ }, herd.mark())
  }
  await herd.act('restarts', 'stop')
  const from = herd.mark()
  const first = await herd.line({ worker: 'keeps', msg: /^round/ }, from)
  await herd.line({ worker: 'keeps', msg: `round ${Number(String(first['msg']).slice(6)) + 10}` })
  t.match(await herd.worker('keeps'), { state: 'running', restarts: 0, failures: 0 })
  t.same(herd.matching({ event: /^(exit|late-error|unattributed)$/ }), [])
}

t.test('a client of Redis that is connected on first use', { skip: noRedis }, async (t) => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const client = `
import { Redis } from ${JSON.stringify(import.meta.resolve('ioredis'))}
let client
const open = () => (client ??= new Redis(${redis.port}, { lazyConnect: true, retryStrategy: () => 5 }))
export const use = async (ctx, hang) => hang ? open().duplicate().blpop('never', 0) : open().ping()
export const more = async () => open().client('kill', 'type', 'normal', 'skipme', 'no').catch(() => {})
`
  await restartAndCheck(t, { 'client.mjs': client }, `await use(ctx); if (n % 5 === 0) await more()`)
})

t.test('fetch and a pool of undici', async (t) => {
  const server = createServer((request, response) => {
    if (request.url !== '/hang') response.end('ok')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const client = `
const url = 'http://127.0.0.1:${port}/'
export const use = async (ctx, hang) => (await fetch(url + (hang ?? ''))).text()
export const more = async () => {
  const error = await fetch(url + 'hang', { signal: AbortSignal.timeout(20) }).catch((error) => error)
  if (error.name !== 'TimeoutError') throw error
}
`
  await restartAndCheck(t, { 'client.mjs': client }, `await use(ctx); await more()`)
})

t.test('an agent of node:http that keeps connections alive', async (t) => {
  let connections = 0
  const server = createServer((request, response) => {
    if (request.url !== '/hang') response.end('ok')
  }).listen(0, '127.0.0.1')
  server.on('connection', () => connections++)
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const client = `
import http from 'node:http'
const agent = new http.Agent({ keepAlive: true })
const get = async (path, timeout) => new Promise((resolve, reject) => {
  const request = http.get({ port: ${port}, host: '127.0.0.1', path, agent, timeout }, (response) => response.resume().on('end', resolve))
  request.on('error', reject).on('timeout', () => request.destroy(new Error('timed out')))
})
export const use = async (ctx, hang) => get('/' + (hang ?? ''))
export const more = async () => {
  const error = await get('/hang', 20).catch((error) => error)
  if (error.message !== 'timed out') throw error
}
`
  await restartAndCheck(t, { 'client.mjs': client }, `await use(ctx); if (n % 5 === 0) await more()`)
  t.ok(connections < 1000, `${connections} connections`)
})
