// Leases on a real server: one holder at a time, a fence that only grows, and a loss reported before another holder exists.
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { HostBus, LeaseHold } from '../../src/bus/bus.ts'
import { openResp } from '../../src/bus/redis/resp.ts'
import { within } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { openBus } from './streams-harness.ts'

interface Seeker {
  readonly hold: LeaseHold
  readonly won: Promise<bigint>
  readonly lost: Promise<string>
  readonly state: { won: boolean; lost: boolean }
}

function seek(bus: HostBus, name: string, ttlMs: number): Seeker {
  const state = { won: false, lost: false }
  let win: (fence: bigint) => void = () => {}
  let lose: (reason: string) => void = () => {}
  const won = new Promise<bigint>((resolve) => (win = resolve))
  const lost = new Promise<string>((resolve) => (lose = resolve))
  const hold = bus.seekLease!(name, ttlMs, {
    won(fence) {
      state.won = true
      win(BigInt(fence))
    },
    lost(reason) {
      state.lost = true
      lose(reason)
    },
  })
  return { hold, won, lost, state }
}

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test(
    'one process holds it; after a drop the next one wins it with a greater fence; leases use one more connection',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const [a, b] = [await openBus(t, server), await openBus(t, server)]
      const first = seek(a.bus, 'w', 60_000)
      const fence = await first.won
      t.ok(fence > 1_700_000_000_000_000n, 'at least the server time in microseconds')
      t.equal(a.bus.connections, 3)
      const second = seek(b.bus, 'w', 5000)
      const other = seek(b.bus, 'other', 5000)
      await other.won
      t.equal(b.bus.connections, 3, 'for any number of leases')
      t.notOk(second.state.won)
      first.hold.drop()
      t.ok((await within(second.won, 'the lease, long before its ttl is over')) > fence)
      t.notOk(first.state.lost, 'a dropped lease is not reported as lost')
    },
  )

  t.test('the fence also grows when the server has lost its counter', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const { bus } = await openBus(t, server)
    const first = seek(bus, 'w', 5000)
    const fence = await first.won
    first.hold.drop()
    await server.call('FLUSHALL')
    t.ok((await seek(bus, 'w', 5000).won) > fence)
    await server.call('SET', 'byre:{h}:fence:x', '9000000000000000')
    t.equal(
      await seek(bus, 'x', 5000).won,
      9_000_000_000_000_001n,
      'and when the clock of the server is behind it',
    )
  })

  t.test('it is held beyond its ttl while it is renewed, even while the main loop is blocked', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const [a, b] = [await openBus(t, server), await openBus(t, server)]
    const first = seek(a.bus, 'w', 600)
    await first.won
    const until = performance.now() + 2500
    while (performance.now() < until) {} // the loop renews nothing now
    t.ok(Number(await server.call('PTTL', 'byre:{h}:lease:w')) > 0)
    const second = seek(b.bus, 'w', 600)
    const leftMs = async (): Promise<number> => Number(await server.call('PTTL', 'byre:{h}:lease:w'))
    // each rise is a renewal; they are a third of the ttl apart, so four take longer than the ttl
    for (let renewals = 0, before = await leftMs(); renewals < 4; ) {
      const now = await leftMs()
      if (now > before) renewals++
      before = now
    }
    t.same([first.state.lost, second.state.won], [false, false])
    first.hold.drop()
    await second.won
  })

  t.test(
    'when the server does not answer, it is lost before the ttl ends, and sought again when the server is back',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const { bus, event } = await openBus(t, server)
      const first = seek(bus, 'w', 4000)
      const fence = await first.won
      const since = performance.now()
      server.signal('SIGSTOP')
      t.match(await first.lost, /could not be renewed for 3600 ms/)
      t.ok(performance.now() - since < 4000, 'before another process could win it')
      const again = seek(bus, 'w', 1000)
      server.signal('SIGCONT')
      t.ok((await again.won) > fence)
      t.match(await event('bus-down'), { connection: 'leases' })
    },
  )

  t.test('when the server is killed it is lost in time; after a restart the fence continues', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const { bus } = await openBus(t, server)
    const first = seek(bus, 'w', 1000)
    const fence = await first.won
    await server.kill()
    await first.lost
    const again = seek(bus, 'w', 1000)
    await server.start()
    t.ok((await again.won) > fence)
  })

  t.test(
    'a refusal for one lease is reported once and retried, and does not affect other leases',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      await server.call('RPUSH', 'byre:{h}:fence:bad', 'x')
      const { bus, events, event } = await openBus(t, server)
      const [bad, good] = [seek(bus, 'bad', 2000), seek(bus, 'good', 600)]
      const refused = await event('bus-lease-refused')
      t.match(refused, { lease: 'bad', reason: /WRONGTYPE/ })
      await good.won
      await server.call('DEL', 'byre:{h}:fence:bad')
      await bad.won
      t.notOk(good.state.lost)
      t.equal(events.filter((one) => one.event === 'bus-lease-refused').length, 1)
      t.same(
        events.filter((one) => one.event === 'bus-down'),
        [],
        'the connection is that of all',
      )
    },
  )

  t.test('the connection to a server that does not speak the Redis protocol is closed at once', async (t) => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).resume()
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    const connection = await openResp({ host: '127.0.0.1', port }, {}, systemClock, 5000)
    await t.rejects(connection.call('PING'), /not from a Redis server/)
    t.match(await connection.closed, /not from a Redis server/)
  })

  t.test('when another client takes the lease, it is lost at the next renewal', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const { bus } = await openBus(t, server)
    const first = seek(bus, 'w', 900)
    await first.won
    await server.call('SET', 'byre:{h}:lease:w', 'somebody')
    t.match(await first.lost, /expired, or another/)
  })
}
