// A worker that runs once in the fleet: of two supervisors one runs it, and the other is standby.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'

const ONCE = `export const run = async ({ signal, log, fence }) => {
  log.info({ fence }, 'begin')
  await new Promise((r) => signal.addEventListener('abort', r))
  log.info({ fence, kind: signal.reason.kind }, 'end')
}`

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  for (const placement of ['shared', 'thread', 'process'] as const) {
    t.test(
      `${placement}: one host runs it; when it is stopped, killed or paused, the other takes over`,
      async (t) => {
        const server = await startRedis()
        t.teardown(() => server.stop())
        const start = (): Promise<Herd> =>
          startHerd(t, {
            config: { bus: server.url, workers: { once: { placement, lease: { ttl: '1500ms' } } } },
            workers: { once: ONCE },
            ready: false,
          })
        const a = await start()
        const first = Number((await a.line({ worker: 'once', msg: 'begin' }))['fence'])
        t.ok(first > 1.7e15)
        const b = await start()
        await b.line({ event: 'ready' })
        t.match(await b.worker('once'), { state: 'standby', lease: { held: false } })
        t.match(await a.worker('once'), { state: 'running', lease: { held: true } })
        t.same(b.matching({ msg: 'begin' }), [])
        t.match((await a.status()).bus, { connections: 3 })

        await a.act('once', 'stop')
        const second = Number((await b.line({ worker: 'once', msg: 'begin' }))['fence'])
        t.ok(second > first)

        // paused: its lease expires, and it is aborted when it resumes
        await a.act('once', 'start')
        await a.untilWorker('once', (w) => w.state === 'standby')
        const mark = a.mark()
        b.signal('SIGSTOP')
        const third = Number((await a.line({ worker: 'once', msg: 'begin' }, mark))['fence'])
        t.ok(third > second)
        b.signal('SIGCONT')
        await b.line({ worker: 'once', msg: 'end', kind: 'lease-lost', fence: second })
        await b.untilWorker('once', (w) => w.state === 'standby')
        t.match(await b.worker('once'), { failures: 0 })

        const before = b.mark()
        await a.kill()
        const fourth = Number((await b.line({ worker: 'once', msg: 'begin' }, before))['fence'])
        t.ok(fourth > third)
        t.same(await b.stop(), { code: 0, signal: null })
        t.equal(await server.call('EXISTS', 'byre:{h}:lease:once'), 0, 'a graceful stop releases it')
      },
    )
  }

  t.test(
    'without the server it stops in time, is standby, and runs again when the server is back',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const herd = await startHerd(t, {
        config: { bus: server.url, workers: { once: { lease: { ttl: '1s' } } } },
        workers: { once: ONCE },
        ready: false,
      })
      await herd.line({ worker: 'once', msg: 'begin' })
      await server.kill()
      await herd.line({ worker: 'once', msg: 'end', kind: 'lease-lost' })
      await herd.untilWorker('once', (w) => w.state === 'standby')
      const mark = herd.mark()
      await server.start()
      await herd.line({ worker: 'once', msg: 'begin' }, mark)
      t.same(await herd.stop(), { code: 0, signal: null })
    },
  )
}
