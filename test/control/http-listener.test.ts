// The read-only listener: loopback only, no foreign Host, no POST, no CORS; and that a real herd opens it.
import { request } from 'node:http'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { isLoopbackHost, openHttpListener, startHttpListener } from '../../src/control/http-listener.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { fakeTarget, memoryLog } from './fake-target.ts'
import type { FakeTarget } from './fake-target.ts'

leakGuard(t)

interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
}

async function get(
  address: string,
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Answer> {
  return new Promise((done, fail) => {
    const call = request(`http://${address}${path}`, { method, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => done({ status: response.statusCode, headers: response.headers, text }))
    })
    call.on('error', fail)
    call.end()
  })
}

async function listening(t: Test): Promise<{ address: string; target: FakeTarget }> {
  const target = fakeTarget()
  const listener = await startHttpListener({
    host: '127.0.0.1',
    port: 0,
    target,
    log: memoryLog(),
    clock: systemClock,
  })
  t.teardown(() => listener.close())
  return { address: listener.address, target }
}

t.test('it serves the read-only routes', async (t) => {
  const { address } = await listening(t)
  t.match(await get(address, '/metrics'), {
    status: 200,
    headers: { 'content-type': /^text\/plain; version=0\.0\.4/ },
    text: /^byre_workers\{state="running",herd="shop",group="batch"\} 2$/m,
  })
  t.match(await get(address, '/workers'), { status: 200, text: /"webhook"/ })
  t.match(await get(address, '/healthz'), { status: 200, text: 'ok\n' })
  t.match(await get(address, '/readyz'), { status: 503 })
  t.match(await get(address, '/elsewhere'), { status: 404 })
})

t.test('it executes nothing: every POST is refused and does not reach the target', async (t) => {
  const { address, target } = await listening(t)
  for (const path of ['/workers/webhook/restart', '/metrics', '/workers'])
    t.match(await get(address, path, {}, 'POST'), { status: 405, headers: { allow: 'GET' } }, path)
  t.same(target.commands, [])
})

t.test('a Host header that does not name this machine is refused, and no CORS header is sent', async (t) => {
  const { address, target } = await listening(t)
  for (const host of [
    'evil.example',
    'evil.example:9464',
    '127.0.0.1.evil.example',
    '10.0.0.1',
    'localhost.evil',
  ])
    t.match(await get(address, '/workers', { host }), { status: 403 }, host)
  t.equal(target.statusCalls, 0)
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1:9464', '[::1]:9464']) {
    const { status, headers } = await get(address, '/workers', { host, origin: 'http://evil.example' })
    t.equal(status, 200, host)
    t.notOk(Object.keys(headers).some((name) => name.startsWith('access-control')))
  }
  t.notOk(isLoopbackHost(undefined))
})

t.test('an address that is not loopback is refused before anything listens', async (t) => {
  for (const host of ['0.0.0.0', '::'])
    await t.rejects(
      startHttpListener({ host, port: 0, target: fakeTarget(), log: memoryLog(), clock: systemClock }),
      { code: 'BYRE_ARGUMENT_INVALID', message: /must be a loopback address/ },
    )
})

t.test('a port in use is logged in one line, and the herd runs without the listener', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await new Promise((done) => other.once('listening', done))
  const { port } = other.address() as AddressInfo
  const log = memoryLog()
  t.equal(
    await openHttpListener({ host: '127.0.0.1', port, target: fakeTarget(), log, clock: systemClock }),
    undefined,
  )
  t.match(log.lines, [{ level: 'error', fields: { event: 'http-failed', port }, message: /EADDRINUSE/ }])
})

t.test('a herd with http.listen answers there, ready once it is up', async (t) => {
  const idle = `export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))`
  const herd = await startHerd(t, { workers: { a: idle }, config: { http: { listen: '127.0.0.1:0' } } })
  const { address } = await herd.line({ event: 'http-listening' })
  t.match(await get(String(address), '/readyz'), { status: 200, text: 'ready\n' })
  t.match((await get(String(address), '/metrics')).text, /^byre_worker_state\{worker="a",state="running"/m)
  t.equal((await herd.stop()).code, 0)
})
