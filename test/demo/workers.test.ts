// What each worker of the demo promises, under a real `byre supervise` of the whole config: one process, driven from
// outside through the relay, files and sockets.
import { createHash, scryptSync } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { eventually, nextEvent, readLines } from '../helpers/events.ts'
import { demoModule } from './demo-module.ts'

const { startWorld } = await demoModule('world.mjs')
const { connect } = await demoModule('lib/relay.js')
const { problemsOf, readStatus, startByre, stopAll, whenReady } = await demoModule('../scripts/demo-herd.mjs')

const dir = mkdtempSync(join(tmpdir(), 'byre-herd-'))
const file = (...names: string[]): string => join(dir, ...names)
const read = (...names: string[]): string =>
  existsSync(file(...names)) ? readFileSync(file(...names), 'latin1') : ''
const json = (...names: string[]): any => JSON.parse(read(...names) || 'null') as unknown

// The test's own receiver: it answers by what the webhook asks for.
const attempts = new Map<string, number>()
const receiver = http.createServer((request, response) => {
  const key = String(request.headers['idempotency-key'])
  attempts.set(key, (attempts.get(key) ?? 0) + 1)
  const [verb = '', times = '0'] = key.split('-')
  const failing = (attempts.get(key) ?? 0) <= Number(times)
  request.resume().on('end', () => {
    if (verb === 'cut' && failing) request.socket.destroy()
    else response.writeHead(verb === 'busy' && failing ? 503 : verb === 'bad' ? 400 : 204).end()
  })
})
receiver.listen(0, '127.0.0.1')
await nextEvent(receiver, 'listening')
const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`

const world = await startWorld({ dir, feeds: [] })
const herd = startByre(dir, url, 'all')
const client = connect(file('relay.sock'))
const unanswered = new AbortController()
t.teardown(async () => {
  client.close()
  await stopAll([herd])
  await world.close()
  receiver.closeAllConnections()
  receiver.close()
  rmSync(dir, { recursive: true, force: true })
})
await whenReady(herd, unanswered.signal)
const done = (name: string): number => world.relay.done.get(name) ?? 0
const line = (port: number): { socket: net.Socket; lines: ReturnType<typeof readLines> } => {
  const socket = net.connect(port, '127.0.0.1').on('error', () => {})
  return { socket, lines: readLines(socket) }
}

t.test('each worker keeps its promise', (t) => {
  t.jobs = 16

  t.test(
    'webhook: retries 503 and cut connections, gives up on 400, and the dead letter comes round',
    { buffered: true },
    async (t) => {
      for (const id of ['good-0', 'busy-2', 'cut-1', 'bad-0', 'busy-5'])
        world.relay.put('webhooks', [{ id, event: { id } }])
      await eventually('every retry', () => attempts.get('busy-2') === 3 && attempts.get('cut-1') === 2)
      t.equal(attempts.get('good-0'), 1)
      // four attempts, a dead letter, and again: 4 failed, 1 failed, 1 good
      await eventually('the dead letter to be delivered', () => attempts.get('busy-5') === 6)
      // a hook nobody will ever like is parked after its rounds, one attempt each
      const parked = await eventually(
        'the parked hook',
        () => read('parked.ndjson').includes('bad-0') && read('parked.ndjson'),
      )
      t.equal(JSON.parse(parked.trim()).hook.id, 'bad-0')
      t.equal(attempts.get('bad-0'), 4)
    },
  )

  t.test(
    'logtail: forwards every byte once, through rotation by rename and by truncation',
    { buffered: true },
    async (t) => {
      const log = file('app.log')
      const expected: string[] = []
      const write = (text: string): void => {
        appendFileSync(log, Buffer.from(`${text}\n`, 'latin1'))
        expected.push(text)
      }
      const forwarded = (): Promise<unknown> =>
        eventually(`${expected.length} lines`, () => read('forwarded.log') === `${expected.join('\n')}\n`)
      write('one')
      write('not UTF-8: \xff\xfe')
      write('x'.repeat(200_000))
      await forwarded()
      write('just before the rotation')
      renameSync(log, `${log}.1`)
      write('after the rotation')
      await forwarded()
      truncateSync(log)
      write('short')
      await forwarded()
      await eventually('as many lines counted', () => done('logtail') === expected.length)
      t.equal(read('forwarded.log'), `${expected.join('\n')}\n`)
    },
  )

  t.test(
    'dirwatch and thumbnail: a finished picture becomes a thumbnail, a partial one is left alone',
    { buffered: true },
    async (t) => {
      const picture = Buffer.concat([Buffer.from('P5\n8 8\n255\n'), Buffer.alloc(64, 7)])
      writeFileSync(file('inbox', 'later.pgm.part'), picture)
      writeFileSync(file('inbox', 'note.txt'), 'no picture')
      writeFileSync(file('inbox', 'now.part'), picture)
      renameSync(file('inbox', 'now.part'), file('inbox', 'now.pgm'))
      await eventually('the thumbnail', () => existsSync(file('thumbs', 'now.pgm')))
      t.same(
        readFileSync(file('thumbs', 'now.pgm')),
        Buffer.concat([Buffer.from('P5\n2 2\n255\n'), Buffer.alloc(4, 7)]),
      )
      await eventually(
        'the inbox to be worked off',
        () => readdirSync(file('inbox')).join() === 'later.pgm.part',
      )
      await eventually('cleanup to remove what is done', () => readdirSync(file('done')).length === 0)
    },
  )

  t.test(
    'tcp-lines and dedupe: each distinct line goes through once; an endless line ends its connection only',
    { buffered: true },
    async (t) => {
      const { port } = json('tcp-lines.json')
      const good = line(port)
      const bad = line(port)
      bad.socket.write('x'.repeat(100_000))
      await eventually('the end of its connection', () => bad.socket.destroyed)
      good.socket.write('a\nb\na\n')
      good.socket.write('half')
      good.socket.end(' a line\nb\n')
      await eventually('five lines to be judged', () => done('dedupe') === 5)
      t.equal(read('lines.log'), 'a\nb\nhalf a line\n')
    },
  )

  t.test('reconcile: books each payment once and judges the invoice', { buffered: true }, async (t) => {
    const pay = (id: number, invoiceId: number, cents: number): unknown => ({ id, invoiceId, cents })
    world.relay.put('payments', [
      pay(1, 1, 1000),
      pay(2, 2, 400),
      pay(2, 2, 400),
      pay(3, 3, 1001),
      pay(4, 9999, 1),
    ])
    await eventually('five payments', () => done('reconcile') === 5)
    const rows = await eventually('the saved file', async () => {
      const found = await query('reconcile', 'SELECT id, status, paidCents FROM invoice WHERE paidCents > 0')
      return found.length === 3 && found
    })
    t.same(rows, [
      [1, 'paid', 1000],
      [2, 'short', 400],
      [3, 'over', 1001],
    ])
  })

  t.test(
    'quotes, enrich, rollup, audit-log: an order is priced, told, summed up and chained into the log',
    { buffered: true },
    async (t) => {
      const first = await eventually('somebody who serves prices', () =>
        client
          .ask('price.quote', { productId: 3, quantity: 2 })
          .catch((error: Error) => !error.message.includes('no worker serves') && Promise.reject(error)),
      )
      t.same(first, { cents: 242 })
      t.same(await client.ask('price.quote', { productId: 3, quantity: 2, tier: 'gold' }), { cents: 218 })
      await t.rejects(client.ask('price.quote', { productId: 999, quantity: 1 }), /no product 999/)
      t.match(await client.ask('customer.lookup', { id: 1 }), { name: 'customer 1', tier: 'gold' })

      world.relay.put(
        'orders',
        [1, 2].map((id) => ({ id, customerId: id, productId: 3, quantity: 2 })),
      )
      await eventually('both webhooks', () => attempts.has('order-1') && attempts.has('order-2'))
      await eventually(
        'the digest',
        () => json('rollup.json')?.cents === 218 + 242 && json('rollup.json').orders === 2,
      )
      const records = (
        await eventually(
          'the audit log',
          () => read('audit.ndjson').split('\n').length > 2 && read('audit.ndjson'),
        )
      )
        .trim()
        .split('\n')
        .map((text) => JSON.parse(text))
      let previous = ''
      for (const { hash, ...record } of records) {
        t.equal(record.previous, previous)
        t.equal(hash, createHash('sha256').update(JSON.stringify(record)).digest('hex'))
        previous = hash
      }
    },
  )

  t.test('mutate: applies a change once, and never below zero', { buffered: true }, async (t) => {
    const change = (id: number, delta: number): unknown => ({ id, productId: 7, delta })
    world.relay.put('mutations', [change(1, -60), change(1, -60), change(2, -60), change(3, 5)])
    await eventually('four mutations', () => done('mutate') === 4)
    const rows = await eventually('the saved file', async () => {
      const found = await query('mutate', 'SELECT stock, version FROM product WHERE id = 7 AND version > 0')
      return found.length === 1 && found
    })
    t.same(rows, [[45, 2]])
  })

  t.test('expire: takes a session in and deletes it when its time is over', { buffered: true }, async (t) => {
    world.relay.put('sessions', [
      { id: 1, token: 'short', ttlMs: 1 },
      { id: 2, token: 'long', ttlMs: 600_000 },
    ])
    await eventually('the short one to go', () => done('expire') === 1)
    const rows = await eventually('the saved file', async () => {
      const found = await query('expire', 'SELECT token FROM session')
      return found.length === 1 && found
    })
    t.same(rows, [['long']])
  })

  t.test(
    'canary, heartbeat, metrics: signs of life are there for whoever looks',
    { buffered: true },
    async (t) => {
      const canary = await eventually('round trips', () => json('canary.json')?.n >= 2 && json('canary.json'))
      t.equal(typeof canary.p50Ms, 'number')
      await eventually('two beats', () => json('heartbeat.json')?.beats >= 2)
      const samples = await eventually('a sample', () => read('metrics', 'samples.ndjson') || undefined)
      t.match(JSON.parse(samples.split('\n')[0] ?? ''), { bytes: {} })
    },
  )

  t.test(
    'margin, energy, forecast: the three reports that share one import',
    { buffered: true },
    async (t) => {
      world.relay.put('report.orders', [
        { price: 100, cost: 60 },
        { price: 100, cost: 80 },
      ])
      world.relay.put('report.readings', [
        { value: 3.6, unit: 'MJ' },
        { value: 500, unit: 'Wh' },
      ])
      world.relay.put(
        'report.points',
        [1, 2, 3, 4].map((value) => ({ value })),
      )
      const [margin, energy, forecast] = await eventually('three reports', () => {
        const all = ['margin', 'energy', 'forecast'].map((name) => json('reports', `${name}.json`))
        return all[0]?.n === 2 && all[1]?.readings === 2 && all[2]?.points === 4 && all
      })
      t.ok(Math.abs(margin.mean - 0.3) < 1e-9)
      t.ok(Math.abs(energy.sum - 1.5) < 1e-9)
      t.ok(Math.abs(forecast.next - 5) < 1e-9)
    },
  )

  t.test('broker and crunch: what stays out of the herd works as well', { buffered: true }, async (t) => {
    const { port } = json('broker.json')
    const [reader, writer] = [line(port), line(port)]
    reader.socket.write('SUB news\nSUB news\nwhat\n')
    t.match(await reader.lines.next(), /^ERR/)
    writer.socket.end('PUB other nothing\nPUB news hello there\n')
    t.equal(await reader.lines.next(), 'news hello there')
    reader.socket.destroy()
    const { key } = await client.ask('key.stretch', { password: 'p', salt: 's' })
    t.equal(key, scryptSync('p', 's', 32).toString('hex'))
  })
  t.end()
})

t.test('no worker failed or was restarted meanwhile', async (t) => {
  t.same(problemsOf(await readStatus(herd)), [])
})

t.test('a stop ends the herd by itself, with all it knew on disk', async (t) => {
  world.relay.put('payments', [{ id: 10, invoiceId: 10, cents: 1000 }])
  await eventually('the payment', () => done('reconcile') === 6)
  t.same(await stopAll([herd]), [])
  t.same(await query('reconcile', 'SELECT status FROM invoice WHERE id = 10'), [['paid']])
})

/** Rows of a worker's saved database. */
async function query(name: string, sql: string): Promise<unknown[][]> {
  const { default: initSqlJs } = await demoModule('../node_modules/sql.js/dist/sql-wasm.js')
  const { Database } = await initSqlJs()
  const bytes = file('db', `${name}.sqlite`)
  if (!existsSync(bytes)) return []
  const db = new Database(readFileSync(bytes))
  try {
    return db.exec(sql)[0]?.values ?? []
  } finally {
    db.close()
  }
}
