// The routes of the control socket and their limits, over real connections.
import { execFile } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { deferred } from '../../src/base/deferred.ts'
import { ask } from '../../src/control/client.ts'
import { PHASE_TIMEOUT_MS } from '../../src/control/connection.ts'
import { MAX_BEHIND_BYTES, MAX_EVENT_STREAMS } from '../../src/control/event-streams.ts'
import { MAX_BODY_BYTES } from '../../src/control/http-server.ts'
import { MAX_CONNECTIONS } from '../../src/control/clients.ts'
import { startControlServer } from '../../src/control/server.ts'
import type { ControlServer } from '../../src/control/server.ts'
import { eventually, nextEvent } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { fakeTarget, memoryLog, worker } from './fake-target.ts'
import type { FakeTarget } from './fake-target.ts'
import { call, rawClient, socketFolder } from './raw-client.ts'

leakGuard(t)

interface Running {
  readonly target: FakeTarget
  readonly log: ReturnType<typeof memoryLog>
  readonly server: ControlServer
  readonly path: string
}

async function start(
  t: { teardown(fn: () => unknown): void },
  clock: Clock = systemClock,
  target = fakeTarget(),
): Promise<Running> {
  const path = join(socketFolder(t), 'shop', 'batch.sock')
  const log = memoryLog()
  const server = await startControlServer({ target, socketPath: path, log, clock })
  t.teardown(() => server.close())
  return { target, log, server, path }
}

/** Makes status() wait: `called` resolves when it is called, `release` lets it return. */
function heldStatus(target: FakeTarget): {
  called: Promise<void>
  release: () => void
  calls: () => number
} {
  const [called, released] = [deferred(), deferred()]
  const { current } = target
  let calls = 0
  target.status = async () => {
    calls++
    called.resolve()
    await released.promise
    return current
  }
  return { called: called.promise, release: () => released.resolve(), calls: () => calls }
}

/** A clock whose timers the test fires. */
function fedClock(): Clock & { fire(): void; readonly armed: () => number } {
  const timers = new Set<() => void>()
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    setTimer(_delayMs, fn) {
      timers.add(fn)
      return { cancel: () => timers.delete(fn) }
    },
    fire() {
      const due = [...timers]
      timers.clear()
      for (const fn of due) fn()
    },
    armed: () => timers.size,
  }
}

t.test('GET /workers answers the status of the supervisor, GET /workers/<name> one worker', async (t) => {
  const { path, target } = await start(t)
  const all = await call(path, 'GET', '/workers')
  t.equal(all.status, 200)
  t.same(all.json, target.current)
  const one = await call(path, 'GET', '/workers/mail')
  t.same(one.json, { version: 1, herd: 'shop', group: 'batch', worker: worker('mail') })
  const none = await call(path, 'GET', '/workers/nobody')
  t.match(none, {
    status: 404,
    json: { ok: false, error: { code: 'BYRE_WORKER_UNKNOWN', message: /"nobody"/ } },
  })
})

t.test('a name may need percent-encoding; an invalid encoding is not a route', async (t) => {
  const { path } = await start(t, systemClock, fakeTarget([worker('a b')]))
  t.equal((await call(path, 'GET', '/workers/a%20b')).status, 200)
  t.equal((await call(path, 'GET', '/workers/%E0%A4%A')).status, 404)
})

t.test('POST /workers/<name>/<action> reaches the target with id, by and args', async (t) => {
  const { path, target } = await start(t)
  const bare = await call(path, 'POST', '/workers/webhook/restart')
  t.match(bare, { status: 202, json: { v: 1, ok: true, worker: 'webhook', state: 'stopping' } })
  const full = await call(path, 'POST', '/workers/webhook/log-level', {
    id: 'x1',
    by: 'ann',
    args: { level: 'debug' },
  })
  t.match(full, { status: 202, json: { id: 'x1' } })
  t.match(target.commands, [
    { v: 1, action: 'restart', by: 'socket', worker: 'webhook', id: String },
    { v: 1, action: 'log-level', by: 'ann', worker: 'webhook', id: 'x1', args: { level: 'debug' } },
  ])
  t.equal((await call(path, 'POST', '/workers/nobody/stop')).status, 404)
})

t.test(
  'a request that is not a command is refused with the reason and does not reach the target',
  async (t) => {
    const { path, target, log } = await start(t)
    const table: [string, string, unknown, number, RegExp][] = [
      ['POST', '/workers/webhook/explode', undefined, 400, /'action' must be one of start, stop/],
      ['POST', '/workers/webhook/move', { args: { to: 'moon' } }, 400, /shared, thread, process, got "moon"/],
      ['POST', '/workers/webhook/stop', '{"a"', 400, /the body is not JSON/],
      ['POST', '/workers/webhook/stop', '[]', 400, /must be a JSON object/],
      ['POST', '/workers/webhook/stop', '{"worker":"mail"}', 400, /unknown key "worker"/],
      ['POST', '/workers/webhook/stop', '{"__proto__":{"id":"x"}}', 400, /unknown key "__proto__"/],
      ['POST', '/workers/webhook/stop', { v: 2 }, 400, /'v' must be 1, got 2/],
      ['POST', '/workers/webhook/stop', { id: 5 }, 400, /'id' must be/],
      ['POST', '/workers/webhook/stop', { by: 'x'.repeat(MAX_BODY_BYTES) }, 413, /longer than 65536 bytes/],
      ['POST', '/workers/webhook', undefined, 405, /accepts GET, got POST/],
      ['GET', '/workers/webhook/stop', undefined, 405, /accepts POST, got GET/],
      ['DELETE', '/events', undefined, 405, /accepts GET/],
      ['GET', '/health', undefined, 404, /no such route/],
      ['GET', '/workers/webhook/stop/now', undefined, 404, /no such route/],
      ['GET', '/', undefined, 404, /GET \/workers, /],
    ]
    for (const [method, route, body, status, message] of table) {
      const answer = await call(path, method, route, body)
      t.match(
        answer,
        { status, json: { v: 1, ok: false, error: { code: /^BYRE_/, message } } },
        `${method} ${route}`,
      )
    }
    t.same(target.commands, [])
    const kinds = log.lines.map((line) => line.fields['kind'])
    t.equal(new Set(kinds).size, kinds.length, 'each kind is logged once')
  },
)

t.test('a target that throws causes an answer 500 and a log line, never a crash', async (t) => {
  const { path, target, log } = await start(t)
  target.status = () => Promise.reject(new Error('broken'))
  t.match(await call(path, 'GET', '/workers'), { status: 500, json: { error: { code: 'BYRE_INTERNAL' } } })
  target.status = () => {
    throw new Error('broken at once')
  }
  t.match(await call(path, 'GET', '/workers'), { status: 500 })
  target.status = () => Promise.resolve(target.current)
  t.equal((await call(path, 'GET', '/workers')).status, 200)
  t.equal(log.lines.filter((line) => line.level === 'error').length, 2)
})

t.test(
  'concurrent requests share a reading of the status, and none gets one from before its request',
  async (t) => {
    const { path, target, server } = await start(t)
    const held = heldStatus(target)
    const many = Array.from({ length: 20 }, () => call(path, 'GET', '/workers'))
    await held.called
    await eventually('20 requests', () => server.stats().connections === 20)
    held.release()
    await Promise.all(many)
    t.ok(held.calls() <= 10, `${held.calls()} readings for 20 requests`)
    const old = target.current
    const { called, release } = heldStatus(target)
    const first = call(path, 'GET', '/workers')
    await called
    target.status = () => Promise.resolve({ ...old, pid: 4711 })
    const second = call(path, 'GET', '/workers')
    await eventually('the second request', () => server.stats().connections === 2)
    release()
    t.equal((await first).json['pid'], process.pid)
    t.equal((await second).json['pid'], 4711)
  },
)

t.test('GET /events streams transitions as server-sent events while there are clients', async (t) => {
  const { path, target, server } = await start(t)
  t.equal(target.listeners(), 0)
  const client = rawClient(path, 'GET /events HTTP/1.0\r\n\r\n')
  t.match(await client.receives(/\r\n\r\n: byre/), /content-type: text\/event-stream/i)
  target.emit({ worker: 'mail', from: 'running', to: 'backing-off', reason: 'failed', ts: 5 })
  const text = await client.receives(/\n\n[^]*\n\n$/)
  t.match(
    text.toString(),
    'event: transition\ndata: {"v":1,"ts":5,"worker":"mail","from":"running","to":"backing-off","reason":"failed"}\n\n',
  )
  t.equal(server.stats().eventStreams, 1)
  client.socket.destroy()
  await eventually('the release of the listener', () => target.listeners() === 0)
  t.equal(server.stats().eventStreams, 0)
})

t.test('an event client more than 256 KiB behind is dropped and counted; the others continue', async (t) => {
  const { path, target, server, log } = await start(t)
  const lazy = rawClient(path, 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
  await lazy.receives(/: byre/)
  lazy.socket.pause()
  const keen = rawClient(path, 'GET /events HTTP/1.1\r\nHost: x\r\n\r\n')
  await keen.receives(/: byre/)
  const reason = 'x'.repeat(4000)
  let sent = 0
  while (server.stats().refused['sse-behind'] === undefined) {
    target.emit({ reason, ts: ++sent })
    if (sent * 4000 > 20 * MAX_BEHIND_BYTES) break
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(server.stats().refused['sse-behind'], 1)
  t.ok(sent * 4000 > MAX_BEHIND_BYTES, `after ${sent * 4000} bytes`)
  await keen.receives(new RegExp(`"ts":${sent},`))
  t.equal(server.stats().eventStreams, 1)
  t.match(log.lines, [{ fields: { kind: 'sse-behind' } }])
  lazy.socket.destroy()
  keen.socket.destroy()
})

t.test('16 event streams are served, the 17th is answered 429', async (t) => {
  const { path } = await start(t)
  const clients = Array.from({ length: MAX_EVENT_STREAMS }, () =>
    rawClient(path, 'GET /events HTTP/1.0\r\n\r\n'),
  )
  await Promise.all(clients.map((c) => c.receives(/: byre/)))
  t.match(await call(path, 'GET', '/events'), { status: 429, json: { error: { code: 'BYRE_CONTROL_BUSY' } } })
  for (const { socket } of clients) socket.destroy()
})

t.test('100 connections are served, a further one is answered 429 and closed', async (t) => {
  const { path, server, log } = await start(t)
  const idle = Array.from({ length: MAX_CONNECTIONS }, () => rawClient(path))
  await eventually('100 connections', () => server.stats().connections === MAX_CONNECTIONS)
  for (let i = 0; i < 3; i++) t.match(await rawClient(path).closed, /^HTTP\/1.1 429 .*BYRE_CONTROL_BUSY/s)
  t.equal(server.stats().refused['too-many-connections'], 3)
  t.equal(log.lines.length, 1)
  idle[0]!.socket.destroy()
  await eventually('a free place', () => server.stats().connections === MAX_CONNECTIONS - 1)
  t.equal((await call(path, 'GET', '/workers')).status, 200)
  for (const { socket } of idle) socket.destroy()
})

t.test('no timer runs without a connection, and none for an event stream', async (t) => {
  const clock = fedClock()
  const { path } = await start(t, clock)
  t.equal(clock.armed(), 0)
  await call(path, 'GET', '/workers')
  await eventually('the end of the connection', () => clock.armed() === 0)
  const events = rawClient(path, 'GET /events HTTP/1.0\r\n\r\n')
  await events.receives(/: byre/)
  t.equal(clock.armed(), 0)
  events.socket.destroy()
})

t.test(
  'a client that does not send its request in 5 s is closed: silent, in the head, in the body',
  async (t) => {
    t.equal(PHASE_TIMEOUT_MS, 5000)
    for (const bytes of [
      undefined,
      'GET /workers HT',
      'POST /workers/mail/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{',
    ]) {
      const clock = fedClock()
      const { path, server, target } = await start(t, clock)
      const client = rawClient(path, bytes)
      await nextEvent(client.socket, 'connect')
      await call(path, 'GET', '/workers') // by now the server has read what came before
      clock.fire()
      await client.closed
      t.equal(server.stats().refused['too-slow'], 1, String(bytes))
      t.same(target.commands, [])
    }
  },
)

t.test('a client that does not read its answer within 5 s is closed', async (t) => {
  const clock = fedClock()
  const many = Array.from({ length: 3000 }, (_, i) => worker(`worker-${i}`, { quarantine: 'x'.repeat(300) }))
  const { path, server, target, log } = await start(t, clock, fakeTarget(many))
  const client = rawClient(path, 'GET /workers HTTP/1.1\r\nHost: x\r\n\r\n')
  client.socket.pause()
  await eventually('the answer to be under way', () => target.statusCalls === 1 && clock.armed() === 1)
  clock.fire()
  await eventually('the client to be closed', () => server.stats().connections === 0)
  t.match(log.lines, [{ fields: { kind: 'too-slow', phase: 'answer' } }])
  client.socket.destroy()
})

t.test('one request per connection: requests pipelined behind it are not executed', async (t) => {
  const { path, target } = await start(t)
  const post = (name: string): string =>
    `POST /workers/${name}/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`
  const text = await rawClient(path, post('webhook') + post('mail') + post('mail')).closed
  t.match(text, /^HTTP\/1.1 202/)
  t.same(
    target.commands.map((c) => c.worker),
    ['webhook'],
  )
})

t.test('the socket is 0600 in a folder 0700', async (t) => {
  const { path } = await start(t)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700)
})

t.test('curl can use it', async (t) => {
  const { path, target } = await start(t)
  const curl = promisify(execFile)
  try {
    await curl('curl', ['--version'])
  } catch {
    t.comment('curl is not installed')
    return
  }
  const run = async (...args: string[]): Promise<Record<string, unknown>> => {
    const { stdout } = await curl('curl', ['-sS', '--unix-socket', path, ...args])
    return JSON.parse(stdout) as Record<string, unknown>
  }
  t.match(await run('http://byre/workers'), { herd: 'shop' })
  t.match(await run('-X', 'POST', 'http://byre/workers/webhook/restart'), { ok: true })
  t.match(await run('-d', '{"args":{"level":"debug"}}', 'http://byre/workers/webhook/log-level'), {
    ok: true,
  })
  t.equal(target.commands.length, 2)
})

t.test(
  'close ends streams and idle clients, finishes answers, removes the socket, and may be called twice',
  async (t) => {
    const { path, server, target } = await start(t)
    const idle = rawClient(path)
    const events = rawClient(path, 'GET /events HTTP/1.0\r\n\r\n')
    await events.receives(/: byre/)
    const { called, release } = heldStatus(target)
    const answer = call(path, 'GET', '/workers')
    await called
    const closed = Promise.all([server.close(), server.close()])
    release()
    t.equal((await answer).status, 200)
    await closed
    t.equal(await idle.closed, '')
    t.match(await events.closed, /: byre/)
    t.throws(() => statSync(path), { code: 'ENOENT' })
    await t.rejects(ask(path, { method: 'GET', path: '/workers' }), { code: 'BYRE_CONTROL_UNREACHABLE' })
  },
)

t.test('close does not wait for a client without an answer', async (t) => {
  const { path, server, target } = await start(t)
  const { called } = heldStatus(target)
  const client = rawClient(path, 'GET /workers HTTP/1.0\r\n\r\n')
  await called
  await server.close()
  await client.closed
})

t.test('a summary of the counted refusals is logged on close', async (t) => {
  const { path, server, log } = await start(t)
  for (let i = 0; i < 5; i++) await call(path, 'GET', '/nothing')
  await server.close()
  t.match(log.lines, [
    { fields: { kind: 'not-found', status: 404 } },
    { fields: { refused: { 'not-found': 5 } } },
  ])
  t.equal(log.lines.length, 2)
})

t.test('a path that is not a socket, and one that is too long, are refused', async (t) => {
  const folder = socketFolder(t)
  mkdirSync(join(folder, 'dir.sock'))
  const options = { target: fakeTarget(), log: memoryLog() }
  await t.rejects(startControlServer({ ...options, socketPath: join(folder, 'dir.sock') }), {
    code: 'BYRE_ARGUMENT_INVALID',
    message: /exists and is not a socket/,
  })
  await t.rejects(startControlServer({ ...options, socketPath: `/${'x'.repeat(107)}` }), {
    code: 'BYRE_SOCKET_PATH_TOO_LONG',
  })
})
