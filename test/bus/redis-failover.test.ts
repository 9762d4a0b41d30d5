// The bus with several servers: it follows the master that three sentinels name, and the master of its slot in a cluster.
import t from 'tap'
import type { Test } from 'tap'
import { describeThrown } from '../../src/base/errors.ts'
import type { BusServer } from '../../src/bus/redis/address.ts'
import { slotOf } from '../../src/bus/redis/locate.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis } from '../helpers/redis.ts'
import { WAIT_MS } from '../helpers/events.ts'
import { ask, startCluster, startSentinels } from '../helpers/redis-topology.ts'
import { listen, payloads, serve } from './contract/harness.ts'
import { openBus, quickClock, read } from './streams-harness.ts'
import type { Opened } from './streams-harness.ts'

/** A long request timeout, because `quickClock` shortens the default. */
const PATIENT = { timeout: '60s' } as const

/** Asserts that topics, requests and jobs work from end to end. */
async function works(t: Test, { bus }: Opened, other: Opened, word: string): Promise<void> {
  const { take, sub } = await listen(bus, `w.${word}`)
  await other.bus.publish(`w.${word}`, word)
  t.same(payloads(await take(1)), [word])
  sub.close()
  t.equal(await other.bus.request('ask', word, PATIENT), word)
  await other.bus.enqueue('jobs', word, { dedupeId: word })
}

/** Retries until the servers have agreed on a master; until then jobs wait and are finally rejected. */
async function enqueued({ bus, events }: Opened, word: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS
  for (;;) {
    const refused = await bus.enqueue('jobs', word, { dedupeId: word }).then(
      () => undefined,
      (error: unknown) => describeThrown(error).message,
    )
    if (refused === undefined) return
    if (performance.now() > deadline)
      throw new Error(`no job was accepted for ${WAIT_MS} ms: ${refused}; ${JSON.stringify(events)}`)
  }
}

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test('the computed slot of a key is the slot in a cluster', async (t) => {
    t.equal(slotOf('123456789'), 12_739)
    t.equal(slotOf('byre:{shop}:jobs:mail'), slotOf('shop'))
    t.equal(slotOf('a{}b'), slotOf('a{}b'))
    t.not(slotOf('a{}b'), slotOf(''))
  })

  t.test('sentinels: two connections; when the master is killed, the bus uses the next one', async (t) => {
    const set = await startSentinels()
    t.teardown(() => set.stop())
    const server: BusServer = { sentinels: set.sentinels, name: set.name }
    const [one, two] = [
      await openBus(t, { url: '' }, { server, clock: quickClock(5) }),
      await openBus(t, { url: '' }, { server, clock: quickClock(5) }),
    ]
    await serve(one.bus, 'ask', (m) => m.reply!(m.payload))
    await works(t, one, two, 'before')
    t.equal(one.bus.connections, 2)
    const reader = read(one.bus, 'jobs')
    t.equal((await reader.done()).payload, 'before')
    const clients = String(await ask(set.master.port, 'CLIENT', 'LIST'))
    t.equal(clients.split('name=byre:').length - 1, 4, 'two for each bus')
    await set.master.kill()
    await enqueued(two, 'after')
    t.equal((await reader.done()).payload, 'after')
    // the server of the request has to subscribe again; the client waits until it can receive the reply
    await one.event('bus-gap')
    await works(t, one, two, 'later')
    t.equal((await reader.done()).payload, 'later')
    t.match(one.bus.health, { up: true })
    t.equal(one.bus.connections, 2)
    t.match(String(await ask(set.replica.port, 'CLIENT', 'LIST')), /name=byre:h:commands/)
  })

  t.test('a cluster of three: topics cross its nodes, and jobs are on the master of the slot', async (t) => {
    const set = await startCluster(false)
    t.teardown(() => set.stop())
    const [one, two] = [
      await openBus(t, { url: '' }, { server: { cluster: set.listeners } }),
      await openBus(t, { url: '' }, { server: { cluster: [...set.listeners].toReversed() } }),
    ]
    await serve(one.bus, 'ask', (m) => m.reply!(m.payload))
    await works(t, one, two, 'a')
    t.equal((await read(one.bus, 'jobs').done()).payload, 'a')
    t.equal(one.bus.connections, 2)
    const master = await set.masterOf(slotOf('h'), set.nodes[0]!)
    t.same(await ask(master.port, 'XLEN', 'byre:{h}:jobs:jobs'), 1)
    const foreign = set.nodes.find((node) => node !== master)!
    const heard = listen(one.bus, 'far')
    await ask(foreign.port, 'PUBLISH', 'byre:h:other', 'x')
    const { take } = await heard
    await ask(
      foreign.port,
      'PUBLISH',
      'byre:h:far',
      '{"v":1,"id":"1","ts":1,"payload":"over the bus of the cluster"}',
    )
    t.same(payloads(await take(1)), ['over the bus of the cluster'])
  })

  t.test('a cluster whose master is killed: the bus continues on its replica', async (t) => {
    const set = await startCluster(true)
    t.teardown(() => set.stop())
    const server: BusServer = { cluster: set.listeners }
    const [one, two] = [
      await openBus(t, { url: '' }, { server, clock: quickClock(5) }),
      await openBus(t, { url: '' }, { server, clock: quickClock(5) }),
    ]
    await serve(one.bus, 'ask', (m) => m.reply!(m.payload))
    await works(t, one, two, 'before')
    const reader = read(one.bus, 'jobs')
    t.equal((await reader.done()).payload, 'before')
    const master = await set.masterOf(slotOf('h'), set.nodes[0]!)
    await master.kill()
    await enqueued(two, 'after')
    t.equal((await reader.done()).payload, 'after')
    // the server of the request has to subscribe again; the client waits until it can receive the reply
    await one.event('bus-gap')
    await works(t, one, two, 'later')
    t.equal((await reader.done()).payload, 'later')
    t.equal(one.bus.connections, 2)
  })

  t.test(
    'without a reachable sentinel or node, the error names them, and publishing is rejected in time',
    async (t) => {
      const listeners = [{ host: '127.0.0.1', port: 1 }]
      for (const server of [{ sentinels: listeners, name: 'shop' }, { cluster: listeners }]) {
        const { bus, event } = await openBus(t, { url: '' }, { server, clock: quickClock(20) })
        t.match((await event('bus-down')).reason, /could name the master: 127\.0\.0\.1:1: .*ECONNREFUSED/)
        await t.rejects(bus.publish('x', 1), { code: 'BYRE_BUS_UNAVAILABLE' })
      }
    },
  )
}
