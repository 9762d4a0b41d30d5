// A herd on the Redis bus: two connections for any number of workers; the server starts late, stops and starts again.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'

const IDLE = "export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))"
const LATER = `export const run = async ({ signal, log }) => {
  setTimeout(() => log.info('later'), 1500)
  await new Promise((r) => signal.addEventListener('abort', r))
}`
const LISTENS = `export const run = async ({ bus, log }) => {
  const sub = bus.subscribe('work.*')
  sub.onGap((gap) => log.info({ gap }, 'gap'))
  for await (const message of sub) {
    log.info({ got: message.payload }, 'got')
    await message.reply?.({ did: message.payload })
  }
}`
const DORMANT = `export const run = async ({ bus, log }) => {
  for await (const message of bus.subscribe('wake.>')) log.info({ got: message.payload }, 'got')
}`
const secret = 'geheim/ü'
const envelope = (payload: unknown): string =>
  JSON.stringify({ v: 1, id: `i${String(payload)}`, ts: 1, payload })

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test(
    '18 workers hold two connections, and a message from another process wakes a dormant worker',
    async (t) => {
      const server = await startRedis({ args: ['--requirepass', secret], password: secret })
      t.teardown(() => server.stop())
      const names = Array.from({ length: 16 }, (_, n) => `w${n}`)
      const herd = await startHerd(t, {
        config: {
          bus: `redis://:${encodeURIComponent(secret)}@127.0.0.1:${server.port}`,
          workers: { late: { activation: { topics: ['wake.>'] } } },
        },
        workers: {
          ...Object.fromEntries(names.map((name) => [name, LISTENS])),
          idle: IDLE,
          late: DORMANT,
        },
      })
      const status = await herd.status()
      t.match(status.bus, { kind: 'redis', connections: 2, up: true, gaps: 0 })
      t.equal(status.workers.length, 18)
      const clients = String(await server.call('CLIENT', 'LIST'))
      t.equal(clients.split('\n').filter((line) => line.includes(' name=byre:')).length, 2, clients)

      t.equal((await herd.worker('late')).state, 'dormant')
      t.equal(await server.call('PUBLISH', `byre:${status.herd}:wake.up`, envelope('hello')), 1)
      await herd.line({ worker: 'late', got: 'hello' })
      const everything = JSON.stringify([status, herd.matching({})])
      t.notOk(
        everything.includes(secret) || everything.includes(encodeURIComponent(secret)),
        'no password anywhere',
      )
      t.same(await herd.stop(), { code: 0, signal: null })
    },
  )

  t.test(
    'without the server, a worker that does not use the bus starts, and one that subscribed waits in starting',
    async (t) => {
      const server = await startRedis({ absent: true })
      t.teardown(() => server.stop())
      const herd = await startHerd(t, {
        config: {
          bus: server.url,
          workers: { listens: { startTimeout: '1s' }, late: { activation: { topics: ['wake.>'] } } },
        },
        workers: { idle: LATER, listens: LISTENS, late: DORMANT },
        ready: false,
      })
      await herd.line({ worker: 'idle', to: 'running' })
      await herd.line({ event: 'bus-down', connection: 'subscriber', reason: /ECONNREFUSED/ })
      await herd.line({ worker: 'listens', to: 'starting' })
      await herd.line({ worker: 'idle', msg: 'later' }) // and with it the start time-out has passed
      const status = await herd.status()
      t.match(status.bus, { kind: 'redis', connections: 0, up: false })
      t.match(await herd.worker('listens'), { state: 'starting', waitingFor: ['bus'], failures: 0 })
      t.match(await herd.worker('idle'), { state: 'running' })

      await server.start()
      await herd.line({ worker: 'listens', to: 'running' })
      t.match(await herd.worker('listens'), { state: 'running', failures: 0, restarts: 0 })
      t.equal((await herd.worker('listens')).waitingFor, undefined)

      const mark = herd.mark()
      await server.kill()
      await herd.line({ event: 'bus-down' }, mark)
      t.match((await herd.status()).bus, { up: false, gaps: 1 })
      t.match(await herd.worker('listens'), { state: 'running' }, 'a lost server stops no worker')
      await server.start()
      const reported = await herd.line({ event: 'bus-gap' }, mark)
      t.ok(Number(reported['until']) >= Number(reported['from']))
      await herd.line({ worker: 'listens', msg: 'gap' }, mark)
      await server.call('PUBLISH', `byre:${status.herd}:work.x`, envelope('after'))
      await herd.line({ worker: 'listens', got: 'after' }, mark)
      await herd.line({ event: 'bus-up', connection: 'commands' }, mark)
      t.match((await herd.status()).bus, { up: true, connections: 2, gaps: 1 })
      t.same(await herd.stop(), { code: 0, signal: null })
    },
  )

  t.test('a herd stops while the server is absent', async (t) => {
    const server = await startRedis({ absent: true })
    t.teardown(() => server.stop())
    const herd = await startHerd(t, {
      config: { bus: server.url },
      workers: { listens: LISTENS },
      ready: false,
    })
    await herd.line({ worker: 'listens', to: 'starting' })
    t.same(await herd.stop(), { code: 0, signal: null })
  })
}
