// The outbox: a request is not sent while its reply would be lost, or once it has ended.
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

  /** An outbox on a real connection, with conditions that the test sets, and the messages it sent, in order. */
  const connected = async (t: Test) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const redis = new Redis({ port: server.port })
    const subscriber = new Redis({ port: server.port })
    t.teardown(() => (redis.disconnect(), subscriber.disconnect()))
    const sent: string[] = []
    await subscriber.subscribe('x')
    let marked = (): void => {}
    subscriber.on('message', (_channel: string, text: string) => {
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
    /** The messages published so far, complete because a later message has arrived. */
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
    t.test(
      `a request that waits for ${waitsFor} is not sent once its reply cannot be received`,
      async (t) => {
        const { is, outbox, flushed } = await connected(t)
        is[key] = false
        const asked = outbox.send('x', 'x', 'request', 1, '_inbox.a.1')
        const published = outbox.send('x', 'x', 'publish', 1)
        is.receiving = false
        is[key] = true
        outbox.pump()
        await within(published, 'the publish behind it')
        t.same(await flushed(), ['publish'])
        t.equal(outbox.size, 1)
        is.receiving = true
        outbox.pump()
        await within(asked, 'the request')
        t.same(await flushed(), ['publish', 'request'])
        t.equal(outbox.size, 0)
      },
    )

  t.test('a dropped request leaves the queue at once and makes room for one message', async (t) => {
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
      outbox.drop(replyTo) // idempotent
      t.equal(outbox.size, MAX_UNSENT - 1)
      waiting.push(outbox.send('x', 'x', replyTo, 0))
      await t.rejects(outbox.send('x', 'x', 'too many', 0), { code: 'BYRE_BUS_UNAVAILABLE' })
    }
    is.up = is.receiving = true
    outbox.pump()
    await rest
    await within(Promise.all(waiting), 'the waiting messages')
    const sent = await flushed()
    t.equal(sent.length, MAX_UNSENT)
    t.same(sent.slice(-3), ['-', '_inbox.a.1', '_inbox.a.2'])
    t.equal(outbox.size, 0)
    // messages that wait too long are rejected in both queues
    is.up = is.receiving = false
    const late = [outbox.send('x', 'x', 'late', 0), outbox.send('x', 'x', 'late', 0, '_inbox.a.3')]
    clock.advance(MAX_WAIT_MS)
    for (const one of late) await t.rejects(one, { code: 'BYRE_BUS_UNAVAILABLE' })
    t.equal(outbox.size, 0)
  })

  t.test('a request that timed out or was aborted while it waited is not sent', async (t) => {
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
    t.ok(asking.bus.health!.unsent <= 1, 'they no longer wait')
    t.equal(await within(kept, 'the reply'), 'kept')
    t.same(served, ['first', 'kept'])
  })
}
