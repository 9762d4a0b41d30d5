// Durable streams when the server fails: no acked job is delivered again, and every unacknowledged job is.
import t from 'tap'
import type { ByreError } from '../../src/base/errors.ts'
import { MAX_UNSENT } from '../../src/bus/redis/outbox.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { openBus, pending, quickClock, read, total } from './streams-harness.ts'

const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test('server absent: enqueued jobs wait in order, bounded in number and time', async (t) => {
    const server = await startRedis({ absent: true })
    t.teardown(() => server.stop())
    const { bus } = await openBus(t, server, { clock: quickClock(20) })
    const error = await bus.enqueue('jobs', 1).catch((e: unknown) => e as ByreError)
    t.match(error, { code: 'BYRE_BUS_UNAVAILABLE', details: { topic: 'jobs', sent: false } })
    const slow = await openBus(t, server)
    const reader = read(slow.bus, 'jobs')
    const sent = Array.from({ length: MAX_UNSENT }, (_, n) => slow.bus.enqueue('jobs', n))
    await t.rejects(slow.bus.enqueue('jobs', 1), {
      code: 'BYRE_BUS_UNAVAILABLE',
      message: /wait for the Redis/,
    })
    t.equal(slow.bus.health!.unsent, MAX_UNSENT)
    await server.start()
    await Promise.all(sent)
    for (let n = 0; n < 100; n++) t.equal((await reader.done()).payload, n)
  })

  t.test(
    'server killed and restarted under load: every accepted job is delivered, and none after its ack',
    async (t) => {
      const server = await startRedis({ args: DURABLE })
      t.teardown(() => server.stop())
      const { bus, event } = await openBus(t, server, { clock: quickClock(10) })
      const reader = read(bus, 'jobs', { group: 'g', concurrency: 10, maxDeliveries: 100 })
      const accepted = new Set<number>()
      let last = 0
      const produce = async (count: number): Promise<void> => {
        const jobs = Array.from({ length: count }, () => ++last)
        await Promise.all(
          jobs.map(async (n) =>
            bus.enqueue('jobs', n).then(
              () => accepted.add(n),
              () => {},
            ),
          ),
        )
      }
      const delivered = new Map<number, number>()
      const consume = (async () => {
        for (;;) {
          const [job] = await reader.take(1)
          const n = job!.payload as number
          if (n === -1) return job!.ack()
          t.not(delivered.get(n), Infinity, 'not after its ack')
          delivered.set(n, (delivered.get(n) ?? 0) + 1)
          job!.ack().then(
            () => delivered.set(n, Infinity),
            () => {},
          )
        }
      })()
      await produce(500)
      const during = produce(2000)
      await server.kill()
      await event('bus-down')
      await server.start()
      await during
      await produce(500)
      await bus.enqueue('jobs', -1)
      await consume
      while (total(await pending(server, 'jobs', 'g')) > 0) await produce(1)
      t.ok(accepted.size >= 1000)
      t.same(
        [...accepted].filter((n) => n < last - 50 && !delivered.has(n)),
        [],
        'nothing accepted is lost',
      )
    },
  )

  t.test(
    'CLIENT KILL under load loses no job and yields no more jobs than may be unacknowledged',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const { bus } = await openBus(t, server, { clock: quickClock(10) })
      const reader = read(bus, 'jobs', { group: 'g', concurrency: 5 })
      await Promise.all(Array.from({ length: 200 }, (_, n) => bus.enqueue('jobs', n)))
      const seen = new Set<unknown>()
      for (let round = 0; seen.size < 200; round++) {
        if (round % 20 === 10) await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
        const [job] = await reader.take(1)
        seen.add(job!.payload)
        await job!.ack()
        t.ok(total(await pending(server, 'jobs', 'g')) <= 10 + 1, 'bounded') // plus one that is being released
      }
      t.equal(seen.size, 200)
    },
  )

  t.test('acks wait while the server is stopped (SIGSTOP) and arrive when it continues', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const { bus, event } = await openBus(t, server, { clock: quickClock(5) })
    const reader = read(bus, 'jobs', { group: 'g' })
    await bus.enqueue('jobs', 'x')
    const [job] = await reader.take(1)
    server.signal('SIGSTOP')
    const acked = job!.ack()
    await event('bus-down')
    server.signal('SIGCONT')
    await acked
    t.equal(total(await pending(server, 'jobs', 'g')), 0)
  })

  t.test('an ack that cannot be sent in time rejects, and the job is delivered again', async (t) => {
    const server = await startRedis({ args: DURABLE })
    t.teardown(() => server.stop())
    const { bus } = await openBus(t, server, { clock: quickClock(20) })
    const reader = read(bus, 'jobs', { group: 'g' })
    await bus.enqueue('jobs', 'x')
    const [job] = await reader.take(1)
    await server.kill()
    await t.rejects(job!.ack(), { code: 'BYRE_BUS_UNAVAILABLE', message: /ack or nack a job of 'jobs'/ })
    await server.start()
    const [again] = await reader.take(1)
    t.same([again!.payload, again!.deliveries], ['x', 2])
    await again!.ack()
  })

  t.test(
    'a server out of memory refuses new jobs with its error; existing jobs can be processed',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const { bus } = await openBus(t, server)
      await bus.enqueue('jobs', 'kept')
      await server.call('CONFIG', 'SET', 'maxmemory', '1')
      await t.rejects(bus.enqueue('jobs', 'refused'), { code: 'BYRE_BUS_REFUSED', message: /OOM/ })
      await server.call('CONFIG', 'SET', 'maxmemory', '0')
      const reader = read(bus, 'jobs', { group: 'g' })
      const [job] = await reader.take(1)
      await server.call('CONFIG', 'SET', 'maxmemory', '1')
      await job!.ack()
      t.equal(total(await pending(server, 'jobs', 'g')), 0)
    },
  )

  t.test(
    'the documented ACL for streams is enough; without it the stream is refused with its name',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const least = '+ping +publish +subscribe +psubscribe +unsubscribe +punsubscribe'
      const streams =
        '+evalsha +eval +time +xadd +xlen +xack +xclaim +xpending +xrange +xrevrange +xreadgroup +xtrim +xinfo|groups +xinfo|consumers +xgroup|create +xgroup|delconsumer +zadd +zcard +zrem +zrange +zrangebyscore +zscore +get +set'
      const channels = ['resetchannels', '&byre:h:*', '&byre-bell:h:*']
      await server.call(
        'ACL',
        'SETUSER',
        'w',
        'on',
        '>pw',
        '~byre:{h}:*',
        ...channels,
        '-@all',
        ...`${least} ${streams}`.split(' '),
      )
      await server.call('ACL', 'SETUSER', 'poor', 'on', '>pw', ...channels, '-@all', ...least.split(' '))
      const { bus } = await openBus(t, server, { server: { url: server.url.replace('//', '//w:pw@') } })
      await bus.enqueue('jobs', 1, { dedupeId: 'a' })
      await bus.enqueue('jobs', 2, { delay: 1 })
      const reader = read(bus, 'jobs', { group: 'g', maxDeliveries: 1 })
      await reader.done()
      const [two] = await reader.take(1)
      await two!.nack({ reason: 'so' })
      await reader.end()
      t.match((await read(bus, 'jobs.dead').done()).dead, { reason: 'so' })
      const poor = await openBus(t, server, { server: { url: server.url.replace('//', '//poor:pw@') } })
      await t.rejects(poor.bus.enqueue('jobs', 1), { code: 'BYRE_BUS_REFUSED', message: /'jobs'.*NOPERM/ })
      await t.rejects(read(poor.bus, 'jobs').take(1), { code: 'BYRE_BUS_REFUSED', message: /'jobs'.*NOPERM/ })
    },
  )
}
