// Control over the bus: every supervisor answers, and only commands signed with the secret are executed.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import {
  isSignature,
  MAX_NONCES,
  Nonces,
  sign,
  signedParts,
  WINDOW_MS,
} from '../../src/control/fleet-message.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { openBus } from '../bus/streams-harness.ts'

const IDLE = "export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))"
const SECRET = 'ein-geheimnis-von-vierzig-zeichen-laenge'
const BIN = new URL('../../src/bin.js', import.meta.url).pathname

/** Runs the command line in the herd's folder. */
async function byre(
  herd: Herd,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; out: string; err: string }> {
  const { code, stdout, stderr } = await runCleanNode([BIN, ...args], {
    cwd: herd.folder,
    env,
    timeoutMs: 30_000,
  })
  return { code, out: stdout, err: stderr }
}

t.test('a signature covers every part, and a nonce is valid once, while its message is recent', async (t) => {
  const transport = { ts: 1, nonce: 'n', replyTo: 'system._reply.x' }
  const command = { id: 'i', action: 'stop', by: 'me', args: { level: 'info' } }
  const good = sign(SECRET, signedParts('h', 'w', transport, command))
  t.ok(isSignature(SECRET, signedParts('h', 'w', transport, command), good))
  const others = [
    signedParts('other', 'w', transport, command),
    signedParts('h', 'x', transport, command),
    ...(['ts', 'nonce', 'replyTo'] as const).map((key) =>
      signedParts('h', 'w', { ...transport, [key]: 'y' }, command),
    ),
    ...Object.keys(command).map((key) => signedParts('h', 'w', transport, { ...command, [key]: 'y' })),
  ]
  for (const parts of others) t.notOk(isSignature(SECRET, parts, good))
  for (const wrong of [undefined, '', 7, good.slice(1), `${good}x`])
    t.notOk(isSignature(SECRET, signedParts('h', 'w', transport, command), wrong))
  const nonces = new Nonces()
  const nonce = 'x'.repeat(16)
  t.equal(nonces.use(nonce, 0, WINDOW_MS + 1), 'stale')
  t.equal(nonces.use(nonce, 2 * WINDOW_MS + 1, WINDOW_MS), 'stale', 'from the future')
  t.equal(nonces.use(nonce, Number.NaN, 0), 'stale')
  t.equal(nonces.use(nonce, 0, WINDOW_MS), undefined)
  t.equal(nonces.use(nonce, 0, WINDOW_MS), 'replayed')
  t.equal(nonces.use('short', 0, 0), 'replayed')
  for (let n = 1; n < MAX_NONCES; n++) nonces.use(`${n}`.padStart(16, '0'), 0, 0)
  t.equal(nonces.use('one-more-than-fits', 0, 0), 'too-busy')
  t.equal(nonces.use('one-more-than-fits', 4 * WINDOW_MS, 4 * WINDOW_MS), undefined, 'the old are forgotten')
})

if (noRedis === false) {
  leakGuard(t)

  t.test(
    'two supervisors: both are in the table, commands reach who hosts the worker, and who is silent is named',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const config = { bus: server.url, control: { secret: SECRET } }
      const [a, b] = await Promise.all([
        startHerd(t, { config, workers: { one: IDLE, both: IDLE } }),
        startHerd(t, { config, workers: { two: IDLE, both: IDLE } }),
      ])
      for (const herd of [a, b]) await herd.line({ event: 'fleet-control' })
      const bus = ['--bus', server.url]
      const table = await byre(a, ['status', ...bus])
      t.equal(table.code, 0, table.err)
      t.match(table.out, /on \S+ .*pid \d+/)
      for (const herd of [a, b]) t.match(table.out, new RegExp(`pid ${herd.pid}`))

      const stopped = await byre(a, ['stop', 'two', ...bus])
      t.equal(stopped.code, 0, stopped.err)
      t.match(stopped.out, /two +(stopping|stopped)/)
      await b.untilWorker('two', (w) => w.state === 'stopped')
      await byre(a, ['stop', 'both', ...bus])
      for (const herd of [a, b]) await herd.untilWorker('both', (w) => w.state === 'stopped')
      t.match(await b.line({ event: 'control', action: 'stop', worker: 'two' }), { by: /^cli:.+@.+/ })

      const json = JSON.parse((await byre(a, ['status', '--json', ...bus])).out) as { supervisors: unknown[] }
      t.equal(json.supervisors.length, 2)
      const unknown = await byre(a, ['stop', 'nobody', ...bus])
      t.equal(unknown.code, 4)
      t.match(unknown.err, /No worker 'nobody' here/)

      b.signal('SIGSTOP')
      const half = await byre(a, ['status', ...bus])
      b.signal('SIGCONT')
      t.equal(half.code, 4)
      t.match(half.err, new RegExp(`/_all/${b.pid} did not reply`))
      t.same(await b.stop(), { code: 0, signal: null })
      const alone = await byre(a, ['status', ...bus])
      t.equal(alone.code, 0, `one that stopped is not missed: ${alone.err}`)
    },
  )

  t.test(
    'unsigned, wrongly signed, stale and replayed commands are refused, with a reply, and do nothing',
    async (t) => {
      const server = await startRedis()
      t.teardown(() => server.stop())
      const herd = await startHerd(t, {
        config: { bus: server.url, control: { secret: SECRET } },
        workers: { one: IDLE },
      })
      await herd.line({ event: 'fleet-control' })
      const { bus } = await openBus(t, server)
      const command = { v: 1, id: 'i', action: 'stop', by: 'eve' }
      const signed = (secret: string, ts: number, nonce: string): object => {
        const transport = { ts, nonce, replyTo: 'system._reply.test' }
        return { ...command, ...transport, sig: sign(secret, signedParts('h', 'one', transport, command)) }
      }
      const tries: [string, object][] = [
        ['not signed', command],
        ['signature is wrong', signed('falsch', Date.now(), 'n'.repeat(16))],
        ['stale', signed(SECRET, Date.now() - WINDOW_MS - 5000, 'm'.repeat(16))],
      ]
      await t.rejects(bus.request('system.one.control', command), { code: 'BYRE_BUS_TOPIC_RESERVED' })
      const raw = async (message: object): Promise<{ ok: boolean; error?: { message: string } }> => {
        const sub = bus.subscribe('system._reply.test')
        await sub.ready
        await bus.publishSystem('system.one.control', { ...message, replyTo: 'system._reply.test' } as never)
        for await (const { payload } of sub) return payload as never
        throw new Error('no reply')
      }
      for (const [why, message] of tries)
        t.match(await raw(message), { ok: false, error: { message: new RegExp(why) } })
      // signed with its replyTo, sent twice
      const transport = { ts: Date.now(), nonce: 'k'.repeat(16), replyTo: 'system._reply.test' }
      const status = { ...command, action: 'status' }
      const once = { ...status, ...transport, sig: sign(SECRET, signedParts('h', 'one', transport, status)) }
      t.match(await raw(once), { ok: true, state: 'running', member: /\/_all\/\d+$/, sig: String })
      t.match(await raw(once), { ok: false, error: { message: /nonce was used before/ } })
      t.equal((await herd.worker('one')).state, 'running')
      t.equal(herd.matching({ kind: 'not-signed' }).length, 1, 'logged once')
      t.notMatch(JSON.stringify(herd.lines), SECRET)
      const unsigned = await byre(herd, ['stop', 'one', '--bus', server.url], {
        BYRE_CONTROL_SECRET: 'x'.repeat(32),
      })
      t.equal(unsigned.code, 4)
      t.equal((await herd.worker('one')).state, 'running')
    },
  )

  t.test('without a secret it is off, unless the config says unsigned', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const off = await startHerd(t, { config: { name: 'off', bus: server.url }, workers: { one: IDLE } })
    const none = await byre(off, ['status', '--bus', server.url])
    t.equal(none.code, 4)
    t.match(none.err, /no reply/)
    const on = await startHerd(t, {
      config: { bus: server.url, control: { overRedis: 'unsigned' } },
      workers: { one: IDLE },
    })
    await on.line({ event: 'fleet-control' })
    t.equal((await byre(on, ['restart', 'one', '--bus', server.url])).code, 0)

    // a client that receives the request and answers it endlessly
    const [listener, flooder] = [new Redis(server.port), new Redis(server.port)]
    t.teardown(() => (listener.disconnect(), flooder.disconnect()))
    let flood: NodeJS.Timeout | undefined
    t.teardown(() => clearInterval(flood))
    await listener.psubscribe('byre:*:system.one.control')
    listener.on('pmessage', (_, channel, text) => {
      const { id, replyTo } = (JSON.parse(text) as { payload: { id: string; replyTo: string } }).payload
      let n = 0
      flood = setInterval(() => {
        const payload = { v: 1, id, ok: true, worker: 'one', state: 'running', member: `h/${++n}/1` }
        const to = channel.replace('system.one.control', replyTo)
        void flooder.publish(to, JSON.stringify({ v: 1, id: `f${n}`, ts: 1, payload }))
      }, 5)
    })
    const flooded = await byre(on, ['restart', 'one', '--bus', server.url])
    t.equal(flooded.code, 0)
    t.ok(flooded.out.split('\n').length < 100, 'it does not wait for the end of the replies')
  })

  t.test('--bus accepts no password on the command line, only from a file of mode 0600', async (t) => {
    const server = await startRedis({ args: ['--requirepass', 'geheim'], password: 'geheim' })
    t.teardown(() => server.stop())
    const url = `redis://:geheim@127.0.0.1:${server.port}`
    const herd = await startHerd(t, {
      config: { bus: url, control: { secret: SECRET } },
      workers: { one: IDLE },
    })
    await herd.line({ event: 'fleet-control' })
    const refused = await byre(herd, ['status', '--bus', url])
    t.equal(refused.code, 2)
    t.match(refused.err, /--bus with a password/)
    t.notMatch(refused.err + refused.out, /geheim/)
    const file = join(herd.folder, 'bus-url')
    writeFileSync(file, `${url}\n`)
    chmodSync(file, 0o644)
    t.match(await byre(herd, ['status', '--bus', `@${file}`]), {
      code: 2,
      err: /other users can access the file/,
    })
    chmodSync(file, 0o600)
    t.equal((await byre(herd, ['status', '--bus', `@${file}`])).code, 0)
    const plain = `redis://127.0.0.1:${server.port}`
    t.equal((await byre(herd, ['status', '--bus', plain], { REDIS_URL: url })).code, 0)
  })
}
