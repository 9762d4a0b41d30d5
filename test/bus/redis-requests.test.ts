// Requests over the network: replies that could not be received, the reply channel, and the lookup by sentinels.
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { deferred } from '../../src/base/deferred.ts'
import { Link } from '../../src/bus/redis/link.ts'
import { nextEvent, within } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { ask, until } from '../helpers/redis-topology.ts'
import { echo, listen, payloads, serve } from './contract/harness.ts'
import { openBus, quickClock } from './streams-harness.ts'

/** The id of the newest connection with that name in CLIENT LIST. */
function idOf(list: string, name: string): string {
  const ids = [...list.matchAll(/^id=(\d+) .*?\bname=(\S+)/gm)].filter(([, , called]) => called === name)
  return ids.at(-1)?.[1] ?? `none called ${name} in ${list}`
}

/** A server that replies to everything with the address of `port`, or does not reply without one. It counts connections. */
async function sentinelNaming(
  t: Test,
  port?: number,
): Promise<{ host: string; port: number; asked: number }> {
  const sockets = new Set<Socket>()
  const sentinel = createServer((socket) => {
    sockets.add(socket)
    self.asked++
    socket.on('error', () => {}) // the client gave up
    socket.on('data', () => {
      if (port !== undefined) socket.write(`*2\r\n$9\r\n127.0.0.1\r\n$${`${port}`.length}\r\n${port}\r\n`)
    })
  }).listen(0, '127.0.0.1')
  await once(sentinel, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    sentinel.close()
  })
  const self = { host: '127.0.0.1', port: (sentinel.address() as AddressInfo).port, asked: 0 }
  return self
}

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test(
    'a request waits while its reply could not be received; a publish does not wait behind it',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const answering = await openBus(t, server)
      const served = await echo(answering.bus, 'ask')
      const { take } = await listen(answering.bus, 'news')
      const asking = await openBus(t, server)
      t.equal(await asking.bus.request('ask', 1), 1)
      const id = idOf(String(await server.call('CLIENT', 'LIST')), 'byre:h:subscriber')
      const down = asking.event('bus-down')
      await server.call('CLIENT', 'KILL', 'ID', id)
      t.match(await down, { connection: 'subscriber' })
      const asked = asking.bus.request('ask', 2)
      const published = asking.bus.publish('news', 'at once')
      await published
      t.match(asking.bus.health, { up: false, unsent: 1 }, 'the request waits, the publish is sent')
      t.same(payloads(await take(1)), ['at once'])
      t.equal(await within(asked, 'the reply'), 2)
      t.same(served, [1, 2])
    },
  )

  t.test('a socket that has ended counts as down before its event is emitted', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const up = deferred<Redis>()
    const link = new Link({
      name: 'commands',
      createClient: () => new Redis({ port: server.port, lazyConnect: true, retryStrategy: () => null }),
      clock: systemClock,
      random: Math.random,
      redact: String,
      onUp: (client) => up.resolve(client),
      onDown: () => {},
      onEvent: () => {},
    })
    link.open()
    t.teardown(() => link.close())
    const client = await within(up.promise, 'the connection')
    t.equal(link.client, client)
    client.stream.end()
    // a caller that retries at once would be rejected in the same turn forever, and the event would never be emitted
    t.equal(link.client, undefined)
  })

  t.test(
    'replies arrive on one channel per process, which an ACL with the prefix of the herd allows',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const least = ['-@all', '+ping', '+publish', '+subscribe', '+unsubscribe', '+client|setname']
      await server.call('ACL', 'SETUSER', 'w', 'on', '>pw', 'resetchannels', '&byre:h:*', ...least)
      const answering = await openBus(t, server)
      await serve(answering.bus, 'ask', (m) => m.reply!(m.payload))
      const asking = await openBus(t, { url: `redis://w:pw@127.0.0.1:${server.port}` })
      const many = Array.from({ length: 200 }, (_, n) => n)
      t.same(await Promise.all(many.map((n) => asking.bus.request('ask', n))), many, 'each its own reply')
      t.same(await server.call('PUBSUB', 'NUMPAT'), 0)
      const channels = (await server.call('PUBSUB', 'CHANNELS')) as string[]
      t.equal(
        channels.filter((channel) => /^byre:h:_inbox\.[^.]+$/.test(channel)).length,
        1,
        channels.join(' '),
      )
    },
  )

  t.test(
    'other clients: a reply names the request in inReplyTo, on any topic except reserved ones',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const { bus } = await openBus(t, server)
      const hand = new Redis({ port: server.port })
      const hears = new Redis({ port: server.port })
      t.teardown(() => (hand.disconnect(), hears.disconnect()))
      await hears.subscribe(
        'byre:h:ask',
        'byre:h:mine',
        'byre:h:system.w.control',
        'byre:h:_inbox.me',
        'byre:h:_inbox.me.42',
      )
      const next = async (): Promise<{ channel: string; envelope: Record<string, unknown> }> => {
        const [channel, text] = (await nextEvent(hears, 'message')) as [string, string]
        return { channel, envelope: JSON.parse(text) as Record<string, unknown> }
      }
      const asked = next()
      const answer = bus.request('ask', 1)
      const { envelope } = await asked
      const reply = { v: 1, id: 'x', ts: 1, payload: 'by hand', inReplyTo: envelope['id'] }
      await hand.publish(
        `byre:h:${String(envelope['replyTo'])}`,
        JSON.stringify({ ...reply, inReplyTo: 'none' }),
      )
      await hand.publish(`byre:h:${String(envelope['replyTo'])}`, JSON.stringify(reply))
      t.equal(await answer, 'by hand')
      await serve(bus, 'echo', (m) => m.reply!(m.payload))
      for (const [replyTo, id] of [
        ['mine', 'i'],
        ['_inbox.me', 'i 1'],
        ['_inbox.me', 'i1'],
        ['_inbox.me', 'you-r1'],
        ['_inbox.me.42', 'i'],
        ['_inbox.me.42', 'me-r1'],
        ['_inbox.me', 'me-r1'],
      ]) {
        const heard = next()
        await hand.publish('byre:h:echo', JSON.stringify({ v: 1, id, ts: 1, payload: 7, replyTo }))
        const { channel, envelope } = await heard
        t.match({ channel, ...envelope }, { channel: `byre:h:${replyTo}`, payload: 7 })
        t.equal(envelope['inReplyTo'], id)
      }
      const { malformed } = bus.health!
      const heard = next()
      for (const replyTo of ['system.w.control', 'mine'])
        await hand.publish('byre:h:echo', JSON.stringify({ v: 1, id: 'i', ts: 1, payload: 7, replyTo }))
      t.equal((await heard).channel, 'byre:h:mine')
      t.equal(bus.health!.malformed, malformed + 1, 'no worker is made to send a command')
    },
  )

  t.test('a sentinel that names a replica is skipped, and the next one is used', async (t) => {
    const master = await startRedis()
    t.teardown(() => master.stop())
    const replica = await startRedis({ args: ['--replicaof', '127.0.0.1', `${master.port}`] })
    t.teardown(() => replica.stop())
    await until(replica.port, ['INFO', 'replication'], (text) => text.includes('master_link_status:up'))
    const sentinels = [await sentinelNaming(t, replica.port), await sentinelNaming(t, master.port)]
    const { bus, event } = await openBus(t, { url: '' }, { server: { sentinels, name: 'shop' } })
    await bus.publish('x', 1)
    t.match(String(await ask(master.port, 'CLIENT', 'LIST')), /name=byre:h:commands/)
    const stale = await openBus(t, { url: '' }, { server: { sentinels: [sentinels[0]!], name: 'shop' } })
    t.match((await stale.event('bus-down')).reason, /which is a slave/)
    t.match(await event('bus-up'), { attempts: 1 })
  })

  t.test(
    'where ROLE is not available the sentinel is trusted; a server that refuses the account is skipped',
    async (t) => {
      const open = await startRedis({ args: ['--rename-command', 'ROLE', ''] })
      t.teardown(() => open.stop())
      const locked = await startRedis({ args: ['--requirepass', 'secret'], password: 'secret' })
      t.teardown(() => locked.stop())
      const [good, bad] = [await sentinelNaming(t, open.port), await sentinelNaming(t, locked.port)]
      const { event } = await openBus(t, { url: '' }, { server: { sentinels: [bad, good], name: 'shop' } })
      t.match(await event('bus-up', ({ connection }) => connection === 'commands'), { attempts: 1 })
      const alone = await openBus(t, { url: '' }, { server: { sentinels: [bad], name: 'shop' } })
      t.match((await alone.event('bus-down')).reason, /could name the master: .*NOAUTH/)
    },
  )

  t.test(
    'sentinels that hang leave time for the others, and the one that answered is queried first',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const hung = [await sentinelNaming(t), await sentinelNaming(t), await sentinelNaming(t)]
      const sentinels = [...hung, await sentinelNaming(t, server.port)]
      const bus = await openBus(t, { url: '' }, { server: { sentinels, name: 'shop' }, clock: quickClock(4) })
      await Promise.all(
        (['commands', 'subscriber'] as const).map((name) =>
          bus.event('bus-up', ({ connection }) => connection === name),
        ),
      )
      for (const event of bus.events) if (event.event === 'bus-down') t.match(event.reason, /name the master/)
      const asked = hung.map((sentinel) => sentinel.asked)
      bus.events.length = 0
      await server.call('CLIENT', 'KILL', 'TYPE', 'normal')
      await bus.event('bus-up', ({ connection }) => connection === 'commands')
      t.same(
        hung.map((sentinel) => sentinel.asked),
        asked,
      )
    },
  )
}
