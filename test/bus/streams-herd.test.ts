// Durable streams in a herd: jobs wake a dormant worker in any placement, survive kill -9 of the herd, and need no
// further connection.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import type { TestRedis } from '../helpers/redis.ts'

const WORKS = `export const run = async ({ bus, log, wake, name, signal }) => {
  for await (const job of bus.stream(name, { signal })) {
    const refused = await job.nack({ dely: '1s' }).catch((error) => error.message)
    log.info({ by: wake.by, got: job.payload, deliveries: job.deliveries, refused }, 'job')
    await job.ack() // a refused call has settled nothing
    if (job.payload === 'last') return
  }
}`
const LISTENS = `export const run = async ({ bus, log, name, signal }) => {
  const reader = (async () => {
    for await (const job of bus.stream(name, { signal })) {
      log.info({ got: job.payload }, 'job')
      await job.ack()
    }
  })()
  for await (const message of bus.subscribe('all.' + name)) log.info({ got: message.payload }, 'got')
  await reader
}`
const STUCK = `export const run = async ({ bus, log, name, signal }) => {
  for await (const job of bus.stream(name, { signal, claimAfter: '1s' })) {
    log.info({ got: job.payload, deliveries: job.deliveries }, 'job')
    if (job.deliveries > 1) await job.ack()
  }
}`
const add = (server: TestRedis, stream: string, payload: unknown): Promise<unknown> =>
  server.call('XADD', `byre:{h}:jobs:${stream}`, '*', 'p', JSON.stringify(payload))
const ring = (server: TestRedis, stream: string): Promise<unknown> =>
  server.call('PUBLISH', `byre-bell:h:${stream}`, 'jobs')

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test('18 workers on 18 streams and 18 topics hold two connections', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const names = Array.from({ length: 18 }, (_, n) => `w${n}`)
    const herd = await startHerd(t, {
      config: { bus: server.url },
      workers: Object.fromEntries(names.map((name) => [name, LISTENS])),
    })
    for (const name of names) {
      await add(server, name, { to: name })
      await ring(server, name)
      await herd.line({ worker: name, msg: 'job', got: { to: name } })
    }
    t.match((await herd.status()).bus, { connections: 2 })
    const clients = String(await server.call('CLIENT', 'LIST'))
    t.equal(clients.split('\n').filter((line) => line.includes(' name=byre:')).length, 2, clients)
    t.same(await herd.stop(), { code: 0, signal: null })
  })

  for (const placement of ['shared', 'thread', 'process'] as const) {
    t.test(
      `${placement}: jobs wake a dormant worker, and wake it again for jobs that it leaves`,
      async (t) => {
        const server = await startRedis()
        t.teardown(() => server.stop())
        await add(server, 'jobs', 'from before')
        const herd = await startHerd(t, {
          config: { bus: server.url, workers: { jobs: { placement, activation: { streams: ['jobs'] } } } },
          workers: { jobs: WORKS },
        })
        await herd.line({ worker: 'jobs', got: 'from before', by: 'stream', deliveries: 1 })
        await add(server, 'jobs', 'last')
        await add(server, 'jobs', 'left')
        await ring(server, 'jobs')
        await herd.line({ worker: 'jobs', got: 'last' })
        await herd.line({ worker: 'jobs', to: 'dormant' })
        await herd.line({ worker: 'jobs', got: 'left', by: 'stream', deliveries: 1 })
        t.ok(
          herd.matching({ got: 'last', refused: /dely: unknown key; did you mean 'delay'\?/ }).length === 1,
        )
        t.match(await herd.worker('jobs'), { failures: 0 })
        t.match(await server.call('XPENDING', 'byre:{h}:jobs:jobs', 'jobs'), [0], 'every job is acked')
        t.same(await herd.stop(), { code: 0, signal: null })
      },
    )
  }

  t.test('a job in progress when the herd is killed is claimed by the next herd', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const options = { config: { bus: server.url }, workers: { jobs: STUCK } }
    const first = await startHerd(t, options)
    await add(server, 'jobs', 'precious')
    await ring(server, 'jobs')
    await first.line({ worker: 'jobs', got: 'precious', deliveries: 1 })
    await first.kill()
    const second = await startHerd(t, options)
    await second.line({ worker: 'jobs', got: 'precious', deliveries: 2 })
    t.same(await second.stop(), { code: 0, signal: null })
  })
}
