// The relay of the demo: what its workers rely on to reach each other, whichever process they live in.
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { nextEvent, within } from '../helpers/events.ts'
import { demoModule } from './demo-module.ts'

const { startRelay, MAX_QUEUE_ITEMS, MAX_ITEM_LENGTH } = await demoModule('relay.mjs')
const { connect } = await demoModule('lib/relay.js')
const { MAX_LINE_BYTES } = await demoModule('lib/lines.js')

async function start(t: Tap): Promise<{ relay: any; client: () => any; path: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'byre-relay-'))
  const path = join(dir, 'r.sock')
  const relay = await startRelay(path)
  t.teardown(async () => {
    await relay.close()
    rmSync(dir, { recursive: true, force: true })
  })
  const client = (): unknown => {
    const made = connect(path)
    t.teardown(() => made.close())
    return made
  }
  return { relay, client, path }
}
type Tap = Pick<typeof t, 'teardown'>

t.test('items come out of a queue in the order they went in, each once, whoever takes', async (t) => {
  const { client } = await start(t)
  const [a, b, c] = [client(), client(), client()]
  t.equal(await a.put('q', [1, 2, 3, 4, 5]), 5)
  t.same(await b.take('q', { max: 2 }), [1, 2])
  t.same(await c.take('q', { max: 9 }), [3, 4, 5])
  t.same(await b.take('q'), [])
})

t.test('a take waits for the first item, and an abort ends the wait with nothing lost', async (t) => {
  const { client, relay } = await start(t)
  const [a, b] = [client(), client()]
  const waiting = a.take('q', { waitMs: 30_000 })
  await b.put('q', ['late'])
  t.same(await within(waiting, 'the waiting take'), ['late'])

  const leaving = new AbortController()
  const given = a.take('q', { waitMs: 30_000, signal: leaving.signal })
  await a.ask('nobody', {}).catch(() => {}) // the relay has read the take
  leaving.abort()
  t.same(await within(given, 'the take given up'), [])
  await b.put('q', ['next'])
  t.equal(relay.depths().q, 1)
  t.same(await a.take('q', { signal: leaving.signal }), [], 'an aborted take takes nothing')
})

t.test('a full queue and an oversized item are refused and counted, never held', async (t) => {
  const { client, relay } = await start(t)
  const a = client()
  t.equal(
    relay.put(
      'q',
      Array.from({ length: MAX_QUEUE_ITEMS + 7 }, () => 0),
    ),
    MAX_QUEUE_ITEMS,
  )
  t.equal(await a.put('q', [1]), 0)
  t.equal(await a.put('other', ['x'.repeat(MAX_ITEM_LENGTH), 'fits']), 1)
  t.equal(relay.refused(), 9)
  await t.rejects(a.put('q', ['x'.repeat(MAX_LINE_BYTES)]), /too large/)
})

t.test(
  'an ask is answered by whoever serves the name; a throw, an absence and a silence are errors',
  async (t) => {
    const { client } = await start(t)
    const [asker, server] = [client(), client()]
    await t.rejects(asker.ask('double', 1), /no worker serves 'double'/)
    const release = server.serve('double', (n: number) => n * 2)
    server.serve('throws', () => {
      throw new Error('out of stock')
    })
    server.serve('silent', () => new Promise(() => {}))
    await server.put('sync', []) // the relay has read the lines before it
    t.equal(await asker.ask('double', 21), 42)
    await t.rejects(asker.ask('throws', 1), /out of stock/)
    await t.rejects(asker.ask('silent', 1, { timeoutMs: 20 }), /no answer from 'silent' within 20 ms/)
    release()
    await t.rejects(asker.ask('double', 1), /does not serve it/)
  },
)

t.test('a server that goes away fails the asks it holds', async (t) => {
  const { client } = await start(t)
  const [asker, server] = [client(), client()]
  const called = new Promise<void>((resolve) => {
    server.serve('slow', () => new Promise(() => resolve()))
  })
  await server.put('sync', [])
  const asked = asker.ask('slow', {})
  await within(called, 'the call')
  server.close()
  await t.rejects(asked, /has disconnected/)
})

t.test('a client outlives its relay: waiting takes and services come back with it', async (t) => {
  const { client, relay, path } = await start(t)
  const a = client()
  a.serve('hello', () => 'again')
  await a.put('q', [])
  const waiting = a.take('q', { waitMs: 30_000 })
  await relay.close()
  await t.rejects(a.put('q', [1]), /connection was lost|is closing/)
  const next = await startRelay(path)
  t.teardown(() => next.close())
  next.put('q', ['after the restart'])
  t.same(await within(waiting, 'the take of the lost connection'), ['after the restart'])
  t.equal(await client().ask('hello', {}), 'again')
})

t.test('counts made while the relay is away are delivered once it is there', async (t) => {
  const { relay, client } = await start(t)
  const a = client()
  a.count('w', 2)
  a.count('w')
  await a.put('sync', [])
  t.equal(relay.done.get('w'), 3)
})

t.test('a line that is no JSON object, or too long, ends that connection and no other', async (t) => {
  const { client, path } = await start(t)
  const good = client()
  for (const bad of ['nonsense\n', '7\n', 'null\n', 'x'.repeat(MAX_LINE_BYTES + 2)]) {
    const socket = net.connect(path)
    socket.on('error', () => {})
    socket.write(bad)
    await nextEvent(socket, 'close')
  }
  for (const odd of [
    '{}',
    '{"op":"take"}',
    '{"op":"__proto__"}',
    '{"op":"put","items":7}',
    '{"op":"count"}',
  ]) {
    const socket = net.connect(path)
    socket.end(`${odd}\n`)
    socket.resume()
    await nextEvent(socket, 'close')
  }
  t.equal(await good.put('q', [1]), 1)
})
