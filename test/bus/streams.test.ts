// Durable streams on a working server: each job is delivered until it is acked, to one reader of each group, with a bounded
// read-ahead, and is dead-lettered with its reason.
import t from 'tap'
import type { ByreError } from '../../src/base/errors.ts'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'
import type { Job } from '../../src/bus/bus.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { CONTRACT_LIMITS } from './contract.ts'
import { systemClock } from '../../src/base/clock.ts'
import { POLL_MS } from '../../src/bus/redis/streams/reader.ts'
import { openBus, payloadsOf, pending, quickClock, read, total } from './streams-harness.ts'

if (noRedis !== false) t.plan(0, noRedis)
else {
  // redis-parser shrinks an enlarged buffer in steps of 50 ms, with an interval that ends by itself
  leakGuard(t, 15_000)
  const server = await startRedis()
  t.teardown(() => server.stop())
  t.afterEach(async () => {
    await server.call('FLUSHALL')
  })

  t.test(
    'each job goes to one reader of each group, oldest first, and is not delivered after its ack',
    async (t) => {
      const { bus } = await openBus(t, server)
      const other = await openBus(t, server)
      const ids: string[] = []
      for (let n = 0; n < 20; n++) ids.push(await bus.enqueue('mail', { n }))
      t.equal(new Set(ids).size, 20)
      const [a, b] = [bus.scoped('a'), other.bus.scoped('b')]
      const alone = read(a, 'mail', { group: 'audit' })
      for (let n = 0; n < 20; n++) t.match(await alone.done(), { id: ids[n], payload: { n }, deliveries: 1 })
      const seen = new Set<string>()
      const both = [read(a, 'mail', { group: 'send' }), read(b, 'mail', { group: 'send' })]
      const take = async (reader: (typeof both)[number]): Promise<void> => {
        while (seen.size < 20) {
          const [job] = await Promise.race([reader.take(1), over])
          if (job === undefined) return
          t.notOk(seen.has(job.id), 'no job is delivered twice')
          seen.add(job.id)
          await job.ack()
          if (seen.size === 20) stop([])
        }
      }
      let stop: (jobs: Job[]) => void = () => {}
      const over = new Promise<Job[]>((resolve) => (stop = resolve))
      await Promise.all(both.map(take))
      t.same([...seen].toSorted(), ids.toSorted())
      t.equal(total(await pending(server, 'mail', 'send')), 0)
      t.equal(total(await pending(server, 'mail', 'audit')), 0)
    },
  )

  t.test('a job enqueued while a reader waits arrives by the doorbell, not by the poll', async (t) => {
    const { bus } = await openBus(t, server)
    const other = await openBus(t, server)
    const reader = read(bus, 'bell')
    const first = reader.done()
    await other.bus.enqueue('bell', 1)
    await first
    const slowest: number[] = []
    for (let n = 0; n < 20; n++) {
      const next = reader.done()
      const since = performance.now()
      await other.bus.enqueue('bell', n)
      await next
      slowest.push(performance.now() - since)
    }
    t.ok(
      Math.max(...slowest) < 2500,
      `at most ${Math.max(...slowest).toFixed(1)} ms; the poll would take 5 s`,
    )
  })

  t.test(
    'jobs are yielded up to the concurrency, and at most twice as many are unacknowledged',
    async (t) => {
      const { bus } = await openBus(t, server)
      for (const concurrency of [1, 3, 20]) {
        const stream = `c${concurrency}`
        await Promise.all(Array.from({ length: 100 }, (_, n) => bus.enqueue(stream, n)))
        const reader = read(bus, stream, { group: 'g', concurrency })
        const held = await reader.take(concurrency)
        let more = false
        const next = reader.take(1).then((jobs) => ((more = true), jobs))
        for (let round = 0; round < 5; round++) {
          const counts = await pending(server, stream, 'g')
          t.ok(total(counts) <= 2 * concurrency, `${total(counts)} unacked with concurrency ${concurrency}`)
          t.notOk(more, 'no job is yielded beyond the concurrency')
        }
        await held[0]!.ack()
        t.same(payloadsOf(await next), [concurrency])
        await reader.end()
      }
    },
  )

  t.test('nack redelivers after its delay; a job with too many deliveries is dead-lettered', async (t) => {
    const { bus, event } = await openBus(t, server)
    const id = await bus.enqueue('work', { poison: true })
    const reader = read(bus, 'work', { group: 'g', maxDeliveries: 3 })
    const [first] = await reader.take(1)
    await first!.nack({ delay: 300, reason: 'not yet' })
    const since = performance.now()
    const [second] = await reader.take(1)
    t.ok(performance.now() - since > 250, 'not sooner')
    t.ok(performance.now() - since < POLL_MS, 'and before the next poll')
    t.match(second, { id, deliveries: 2, payload: { poison: true } })
    await second!.nack()
    const [third] = await reader.take(1)
    t.equal(third!.deliveries, 3)
    await third!.nack({ reason: 'hopeless' })
    t.match(await event('bus-dead-letter'), {
      stream: 'work',
      group: 'g',
      deliveries: 3,
      reason: 'hopeless',
    })
    const dead = await read(bus, 'work.dead').done()
    t.match(dead, {
      id,
      payload: { poison: true },
      deliveries: 1,
      dead: { group: 'g', deliveries: 3, reason: 'hopeless' },
    })
    t.equal(total(await pending(server, 'work', 'g')), 0)
  })

  t.test('a dedupeId adds one job and resolves with its id; a delay postpones it', async (t) => {
    const { bus } = await openBus(t, server)
    const ids = await Promise.all([1, 2, 3].map((n) => bus.enqueue('once', n, { dedupeId: 'order-7' })))
    t.equal(new Set(ids).size, 1)
    const since = performance.now()
    const late = await bus.enqueue('once', 'late', { delay: '400ms', dedupeId: 'late' })
    t.equal(await bus.enqueue('once', 'again', { delay: 1, dedupeId: 'late' }), late)
    const reader = read(bus, 'once')
    t.match(await reader.done(), { id: ids[0], payload: 1 })
    t.match(await reader.done(), { id: late, payload: 'late', deliveries: 1 })
    t.ok(performance.now() - since > 350)
    t.ok(performance.now() - since < POLL_MS, 'a delayed job does not wait for the poll')
  })

  t.test(
    'when a reader ends, jobs it has not yielded go to others at once, and that delivery does not count',
    async (t) => {
      const { bus } = await openBus(t, server)
      await Promise.all([1, 2, 3, 4].map((n) => bus.enqueue('gone', n)))
      const worker = bus.scoped('w')
      const reader = read(worker, 'gone', { group: 'g', concurrency: 2 })
      const [one, two] = await reader.take(2)
      await reader.end()
      const other = read(bus, 'gone', { group: 'g', concurrency: 10 })
      const rest = await other.take(2)
      t.same(
        rest.map((job) => [job.payload, job.deliveries]),
        [
          [3, 1],
          [4, 1],
        ],
      )
      await one!.ack() // jobs in progress can still be acked
      worker.closeAll()
      const [again] = await other.take(1)
      t.same(
        [again!.payload, again!.deliveries],
        [2, 2],
        'the unfinished job follows when the worker has ended',
      )
      await t.rejects(two!.nack({ delay: -1 }), { code: 'BYRE_ARGUMENT_INVALID' })
      await t.rejects(two!.nack({ dely: 1 } as never), {
        code: 'BYRE_ARGUMENT_INVALID',
        message: /'delay'\?$/,
      })
    },
  )

  t.test('a live reader keeps a job beyond the idle time; the job of a dead reader is claimed', async (t) => {
    const { bus } = await openBus(t, server, { clock: quickClock(5) })
    await bus.enqueue('slow', 'x')
    const slow = read(bus.scoped('one'), 'slow', { group: 'g', claimAfter: 1000 })
    const [job] = await slow.take(1)
    const other = read(bus.scoped('two'), 'slow', { group: 'g', claimAfter: 1000 })
    let taken = false
    const next = other.take(1).then(([claimed]) => ((taken = true), claimed!))
    for (let n = 0; n < 15; n++) {
      await new Promise((resolve) => setTimeout(resolve, 100)) // the time that must pass is the server's
      t.notOk(taken)
    }
    await job!.ack()
    await slow.end()
    // a job that was read by a consumer that is dead
    await bus.enqueue('slow', 'orphan')
    const claimed = await next
    t.same([claimed.payload, claimed.deliveries], ['orphan', 1])
    await claimed.ack()
    // added and read in one step, so that the poll of a live reader cannot come in between
    const script = `redis.call('XADD', KEYS[1], '*', 'p', ARGV[1])
      return redis.call('XREADGROUP', 'GROUP', 'g', 'dead', 'STREAMS', KEYS[1], '>')`
    await server.call('EVAL', script, 1, 'byre:{h}:jobs:slow', '"lost"')
    const [revived] = await other.take(1)
    t.same([revived!.payload, revived!.deliveries], ['lost', 2])
  })

  t.test('a job that was added without a doorbell is found by the poll', async (t) => {
    const { bus } = await openBus(t, server, { clock: quickClock(20) })
    const reader = read(bus, 'foreign')
    const next = reader.done()
    await server.call('XADD', 'byre:{h}:jobs:foreign', '*', 'p', '{"from":"redis-cli"}')
    t.same((await next).payload, { from: 'redis-cli' })
  })

  t.test('an entry that is not a job is dead-lettered at once, with the reason', async (t) => {
    const { bus, events } = await openBus(t, server)
    const hostile: [string, string][] = [
      ['q', '1'],
      ['p', '{'],
      ['p', '['.repeat(2000) + ']'.repeat(2000)],
      ['p', `"${'x'.repeat(1024 * 1024)}"`],
    ]
    for (const [field, text] of hostile) await server.call('XADD', 'byre:{h}:jobs:odd', '*', field, text)
    await bus.enqueue('odd', 'good')
    const reader = read(bus, 'odd', { group: 'g' })
    t.same((await reader.done()).payload, 'good')
    while (events.filter((e) => e.event === 'bus-dead-letter').length < 4) await bus.enqueue('tick', 1) // each a round trip
    t.equal(await server.call('XLEN', 'byre:{h}:jobs:odd.dead'), 4)
    t.equal(total(await pending(server, 'odd', 'g')), 0)
  })

  t.test(
    'a key of the wrong type refuses jobs and ends the iteration, with the name of the stream',
    async (t) => {
      const { bus } = await openBus(t, server)
      await server.call('SET', 'byre:{h}:jobs:bad', 'text')
      await t.rejects(bus.enqueue('bad', 1), { code: 'BYRE_BUS_REFUSED', message: /'bad'.*WRONGTYPE/ })
      await t.rejects(read(bus, 'bad').take(1), { code: 'BYRE_BUS_REFUSED', message: /'bad'.*WRONGTYPE/ })
      t.equal((await bus.enqueue('fine', 1)).length > 0, true, 'other streams are not affected')
      await server.call('SET', 'byre:{h}:delayed:half', 'text')
      await t.rejects(bus.enqueue('half', 1, { delay: 5 }), { code: 'BYRE_BUS_REFUSED' })
    },
  )

  t.test('jobs that every group has acked are trimmed, and no others', async (t) => {
    const { bus } = await openBus(t, server, { clock: quickClock(50) })
    const one = read(bus, 'trim', { group: 'one', concurrency: 100 })
    const two = read(bus, 'trim', { group: 'two', concurrency: 100 })
    await Promise.all(Array.from({ length: 1000 }, (_, n) => bus.enqueue('trim', n)))
    for (let n = 0; n < 1000; n++) await one.done()
    for (let n = 0; n < 10; n++) await two.done()
    t.ok(Number(await server.call('XLEN', 'byre:{h}:jobs:trim')) >= 990, 'the other group has not seen them')
    // each once, in any order: at this clock speed jobs read ahead are released after 20 ms and come after later ones
    const seen: number[] = []
    while (seen.length < 990) seen.push(Number((await two.done()).payload))
    t.same(
      seen.toSorted((a, b) => a - b),
      Array.from({ length: 990 }, (_, n) => n + 10),
    )
    for (;;) {
      const left = Number(await server.call('XLEN', 'byre:{h}:jobs:trim'))
      if (left <= 200) break // a node of the stream holds up to 100
    }
  })

  t.test('a stream that is deleted while it is read is created again', async (t) => {
    const { bus } = await openBus(t, server)
    const reader = read(bus, 'flushed')
    await bus.enqueue('flushed', 1)
    await reader.done()
    await server.call('DEL', 'byre:{h}:jobs:flushed')
    await bus.enqueue('flushed', 2)
    t.equal((await reader.done()).payload, 2)
  })

  t.test('invalid calls are refused before a command is sent', async (t) => {
    const { bus } = await openBus(t, server)
    const invalid = { code: 'BYRE_ARGUMENT_INVALID' }
    for (const name of ['', 'a b', 'a.*', 7 as never]) {
      await t.rejects(bus.enqueue(name, 1), invalid)
      t.throws(() => bus.stream(name), invalid)
    }
    await t.rejects(bus.enqueue('x', 1, { delay: 'soon' }), invalid)
    await t.rejects(bus.enqueue('x', 1, { dedupeId: '' }), invalid)
    await t.rejects(bus.enqueue('x', 1, { dedupId: 'a', dely: 1 } as never), {
      ...invalid,
      message: /dedupId: .*'dedupeId'\?\n  dely: .*'delay'\?$/,
    })
    t.throws(() => bus.stream('x', { concurency: 5 } as never), {
      ...invalid,
      message: /concurency: .*'concurrency'\?$/,
    })
    await t.rejects(bus.enqueue('x', undefined as never), { code: 'BYRE_BUS_PAYLOAD_INVALID' })
    for (const options of [
      { concurrency: 0 },
      { concurrency: 1001 },
      { group: '' },
      { group: 'a b' },
      { maxDeliveries: 0 },
      { claimAfter: 10 },
    ])
      t.throws(() => bus.stream('x', options), invalid, JSON.stringify(options))
    t.same(await server.call('KEYS', '*'), [])
    const embedded = createEmbeddedBus({ ...CONTRACT_LIMITS, clock: systemClock })
    await t.rejects(embedded.enqueue('x', 1), { code: 'BYRE_BUS_UNSUPPORTED' })
    await t.rejects(read(embedded, 'x').take(1), { code: 'BYRE_BUS_UNSUPPORTED' })
  })

  t.test('a closed bus accepts no jobs and ends every iteration', async (t) => {
    const { bus } = await openBus(t, server)
    const worker = bus.scoped('w')
    const reading = read(worker, 'end').take(1)
    const ended = t.rejects(reading, /ended/)
    await bus.close()
    await ended
    const error = await worker.enqueue('end', 1).catch((e: unknown) => e as ByreError)
    t.match(error, { code: 'BYRE_BUS_CLOSED' })
    t.throws(() => worker.stream('end'), { code: 'BYRE_BUS_CLOSED' })
  })

  t.test('a watch calls wake while there are jobs, and not for jobs in progress elsewhere', async (t) => {
    const { bus } = await openBus(t, server)
    let calls = 0
    let called: () => void = () => {}
    const call = (): Promise<void> => new Promise((resolve) => (called = resolve))
    const first = call()
    const watch = bus.watchStream!('w', 'g', () => {
      calls++
      called()
    })
    t.teardown(() => watch.release())
    await bus.enqueue('w', 1, { delay: 200 })
    const since = performance.now()
    await first
    t.ok(performance.now() - since < POLL_MS, 'called when a delayed job is due')
    const reader = read(bus, 'w', { group: 'g' })
    const [job] = await reader.take(1)
    const before = calls
    for (let n = 0; n < 5; n++) {
      watch.check()
      await bus.enqueue('other', n)
    }
    t.equal(calls, before, 'a job in progress does not call wake')
    const next = call()
    await job!.nack({ delay: 100 })
    await reader.end()
    watch.check()
    await next
    t.ok(calls > before)
  })
}
