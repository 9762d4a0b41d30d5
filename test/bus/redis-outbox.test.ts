// The queue of what is to be published: nobody is asked while the answer would be lost, or once it is not waited for.
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { MAX_UNSENT, MAX_WAIT_MS, Outbox } from '../../src/bus/redis/outbox.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { within } from '../helpers/events.ts'
import { echo } from './contract/harness.ts'
import { openBus } from './streams-harness.ts'

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  /** An outbox on a real connection, whose two conditions the test sets; and all that came out of it, in order. */
  const connected = async (t: Test) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const redis = new Redis({ port: server.port })
    const hears = new Redis({ port: server.port })
    t.teardown(() => (redis.disconnect(), hears.disconnect()))
    const sent: string[] = []
    await hears.subscribe('x')
    let marked = (): void => {}
    hears.on('message', (_channel: string, text: string) => {
      if (text === 'mark') marked()
      else sent.push(text)
    })
    const is = { up: true, passed: true, receiving: true }
    const clock = fakeClock()
    const outbox = new Outbox({
      clock,
      redact: String,
      client: () => (is.up ? redis : undefined),
      passed: () => is.passed,
      receiving: () => is.receiving,
    })
    /** What was published so far: a message behind it has come through. */
    const flushed = async (): Promise<readonly string[]> => {
      const through = new Promise<void>((resolve) => (marked = resolve))
      await redis.publish('x', 'mark')
      await within(through, 'the mark')
      return [...sent]
    }
    return { is, clock, outbox, flushed }
  }

  for (const [waitsFor, key] of [
    ['the connection', 'up'],
    ['an acknowledgement', 'passed'],
  ] as const)
    t.test(`a request that waits for ${waitsFor} is not sent once its reply is not heard`, async (t) => {
      const { is, outbox, flushed } = await connected(t)
      is[key] = false
      const asked = outbox.send('x', 'x', 'request', 1, '_inbox.a.1')
      const told = outbox.send('x', 'x', 'publish', 1)
      is.receiving = false
      is[key] = true
      outbox.pump()
      await within(told, 'the publish behind it')
      t.same(await flushed(), ['publish'])
      t.equal(outbox.size, 1)
      is.receiving = true
      outbox.pump()
      await within(asked, 'the request')
      t.same(await flushed(), ['publish', 'request'])
      t.equal(outbox.size, 0)
    })

  t.test('a request whose asker has gone leaves the queue at once, and makes room for one', async (t) => {
    const { is, clock, outbox, flushed } = await connected(t)
    is.up = false
    const waiting = Array.from({ length: MAX_UNSENT - 2 }, () => outbox.send('x', 'x', '-', 0))
    const rest = Promise.allSettled(waiting)
    void outbox.send('x', 'x', 'held', 0, '_inbox.a.1')
    is.receiving = false
    void outbox.send('x', 'x', 'asking', 0, '_inbox.a.2')
    t.equal(outbox.size, MAX_UNSENT)
    await t.rejects(outbox.send('x', 'x', 'too many', 0), { code: 'BYRE_BUS_UNAVAILABLE' })
    for (const replyTo of ['_inbox.a.1', '_inbox.a.2']) {
      outbox.drop(replyTo)
      outbox.drop(replyTo) // once is enough
      t.equal(outbox.size, MAX_UNSENT - 1)
      waiting.push(outbox.send('x', 'x', replyTo, 0))
      await t.rejects(outbox.send('x', 'x', 'too many', 0), { code: 'BYRE_BUS_UNAVAILABLE' })
    }
    is.up = is.receiving = true
    outbox.pump()
    await rest
    await within(Promise.all(waiting), 'those that waited')
    const sent = await flushed()
    t.equal(sent.length, MAX_UNSENT)
    t.same(sent.slice(-3), ['-', '_inbox.a.1', '_inbox.a.2'])
    t.equal(outbox.size, 0)
    // and what waits too long is rejected, wherever it waits
    is.up = is.receiving = false
    const late = [outbox.send('x', 'x', 'late', 0), outbox.send('x', 'x', 'late', 0, '_inbox.a.3')]
    clock.advance(MAX_WAIT_MS)
    for (const one of late) await t.rejects(one, { code: 'BYRE_BUS_UNAVAILABLE' })
    t.equal(outbox.size, 0)
  })

  t.test('a request that timed out or was aborted while it waited is never sent', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const answering = await openBus(t, server)
    const served = await echo(answering.bus, 'ask')
    const asking = await openBus(t, server)
    t.equal(await asking.bus.request('ask', 'first'), 'first')
    const list = String(await server.call('CLIENT', 'LIST'))
    const id = [...list.matchAll(/^id=(\d+) .*?\bname=byre:h:subscriber\b/gm)].at(-1)![1]!
    const down = asking.event('bus-down')
    await server.call('CLIENT', 'KILL', 'ID', id)
    await down
    const stop = new AbortController()
    const late = asking.bus.request('ask', 'late', { timeout: 1 })
    const aborted = asking.bus.request('ask', 'aborted', { signal: stop.signal })
    const kept = asking.bus.request('ask', 'kept')
    t.equal(asking.bus.health!.unsent, 3)
    stop.abort(new Error('enough'))
    await t.rejects(aborted, { message: 'enough' })
    await t.rejects(late, { code: 'BYRE_BUS_REQUEST_TIMEOUT' })
    t.ok(asking.bus.health!.unsent <= 1, 'they wait no more')
    t.equal(await within(kept, 'the reply'), 'kept')
    t.same(served, ['first', 'kept'])
  })
}
