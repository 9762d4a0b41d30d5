// Request and reply.
import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import type { RawDelivery } from '../../../src/bus/bus.ts'
import { decodeEnvelope } from '../../../src/bus/codec.ts'
import { CONTRACT_LIMITS, listen, serve } from './harness.ts'
import type { Law } from './harness.ts'

export const requestLaws: Record<string, Law> = {
  'each of many requests gets its own reply': async (t, bus) => {
    await serve(bus.scoped('server'), 'double', (m) => m.reply!((m.payload as number) * 2))
    const asked = Array.from({ length: 100 }, (_, i) => i)
    const replies = await Promise.all(asked.map((n) => bus.request('double', n)))
    t.same(
      replies,
      asked.map((n) => n * 2),
    )
  },

  'a reply is copied': async (t, bus) => {
    const answer = { list: [1] }
    await serve(bus, 'copy', async (m) => {
      await m.reply!(answer)
    })
    const first = await bus.request<{ list: number[] }>('copy', null)
    first.list.push(2)
    t.same(answer, { list: [1] })
    t.same(await bus.request('copy', null), { list: [1] })
  },

  'the first reply wins, a second is ignored': async (t, bus) => {
    const replied: Promise<void>[] = []
    await serve(bus, 'twice', async (m) => {
      replied.push(m.reply!('first'), m.reply!('second'))
      await Promise.all(replied)
    })
    await serve(bus, 'other', (m) => m.reply!('other'))
    t.equal(await bus.request('twice', 1), 'first')
    t.equal(await bus.request('other', 1), 'other', 'and does not resolve the next request')
    await t.resolves(Promise.all(replied))
  },

  'a request without a reply times out with an error that says so': async (t, bus) => {
    const { take } = await listen(bus, 'silence')
    const code = 'BYRE_BUS_REQUEST_TIMEOUT'
    await t.rejects(bus.request('silence', 1, { timeout: 20 }), {
      code,
      message: /'silence'.* 20ms/,
      details: { timeoutMs: 20 },
    })
    await t.rejects(bus.request('nobody.there', 1, { timeout: '10ms' }), { code })
    const [message] = await take(1)
    await t.resolves(message!.reply!('too late'), 'a late reply is ignored')
  },

  'a request ends with its signal': async (t, bus) => {
    const abort = new AbortController()
    const reason = new Error('changed my mind')
    const waiting = Array.from({ length: 20 }, () => bus.request('silence', 1, { signal: abort.signal }))
    // Node warns at the eleventh listener
    t.ok(getEventListeners(abort.signal, 'abort').length <= 1, 'one listener, for any number of requests')
    abort.abort(reason)
    for (const request of waiting) await t.rejects(request, reason)
    await t.rejects(bus.request('silence', 1, { signal: abort.signal }), reason, 'aborted before the call')
  },

  'only the requester receives a reply': async (t, bus) => {
    const spy = await listen(bus, '>', { buffer: 100 })
    const tapped: string[] = []
    bus.tap('>', ({ topic }) => tapped.push(topic))
    await serve(bus, 'ask', (m) => m.reply!('secret'))
    await bus.request('ask', 'question')
    await bus.publish('end', null)
    t.same(
      (await spy.take(2)).map((m) => m.topic),
      ['ask', 'end'],
    )
    t.same(tapped, ['ask', 'end'])
  },

  'a plain message has no reply, a request has type and headers': async (t, bus) => {
    const { take } = await listen(bus, 'x')
    await bus.publish('x', 1)
    const request = bus.request('x', 2, { type: 'q', timeout: '10s' })
    const [plain, asked] = await take(2)
    t.notOk('reply' in plain!)
    t.equal(asked!.type, 'q')
    await asked!.reply!(null)
    t.equal(await request, null)
  },

  'a reply that is not JSON or is too large rejects, and a valid one may follow': async (t, bus) => {
    const { take } = await listen(bus, 'x')
    const request = bus.request('x', 1)
    const [message] = await take(1)
    await t.rejects(message!.reply!(undefined as never), { code: 'BYRE_BUS_PAYLOAD_INVALID' })
    await t.rejects(message!.reply!('x'.repeat(CONTRACT_LIMITS.messageBytes)), {
      code: 'BYRE_BUS_PAYLOAD_TOO_LARGE',
    })
    await message!.reply!('fine')
    t.equal(await request, 'fine')
  },

  'reply works after the subscription closed, not after its worker ended': async (t, bus) => {
    const worker = bus.scoped('worker')
    const { take, sub } = await listen(worker, 'x')
    const first = bus.request('x', 1)
    const [one] = await take(1)
    sub.close()
    await one!.reply!('still here')
    t.equal(await first, 'still here')

    const again = await listen(worker, 'x')
    const second = bus.request('x', 2, { timeout: 20 })
    const [two] = await again.take(1)
    worker.closeAll()
    await t.rejects(two!.reply!('gone'), { code: 'BYRE_BUS_CLOSED' })
    await t.rejects(second, { code: 'BYRE_BUS_REQUEST_TIMEOUT' })
  },

  'a reply is handled in the async context of the requester': async (t, bus) => {
    const context = new AsyncLocalStorage<string>()
    await context.run('server', () => serve(bus, 'who', (m) => m.reply!(context.getStore() ?? 'none')))
    const [seenBy, seenAfter] = await context.run('client', async () => {
      const reply = await bus.request('who', null)
      return [reply, context.getStore()]
    })
    t.equal(seenBy, 'server', 'the server replies in its own context')
    t.equal(seenAfter, 'client')
  },

  'a request kept as an envelope can be answered through publishSystem': async (t, bus) => {
    const kept: RawDelivery[] = []
    bus.tap('x', (delivery) => kept.push(delivery))
    const { take } = await listen(bus, 'x')
    const spy = await listen(bus, '>')
    const request = bus.request('x', 1)
    await take(1)
    const { replyTo } = decodeEnvelope(kept[0]!.envelope, CONTRACT_LIMITS.messageBytes)
    t.match(replyTo, /^_inbox\./)
    await bus.publishSystem(replyTo!, { from: 'a child' })
    t.same(await request, { from: 'a child' })
    await t.resolves(bus.publishSystem(replyTo!, 'again'), 'ignored')
    await bus.publish('end', null)
    t.same(
      (await spy.take(2)).map((m) => m.topic),
      ['x', 'end'],
      'and no pattern covers it',
    )
  },
}
