// Network faults, with a real server: every loss is bounded, has a code, is counted and reported. Time runs faster for
// the bus (heartbeat, waits and retries), not for the server.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import type { ByreError } from '../../src/base/errors.ts'
import { createRedactor } from '../../src/base/redact.ts'
import type { Gap } from '../../src/bus/bus.ts'
import { describeFailure } from '../../src/bus/redis/errors.ts'
import { MAX_UNSENT, MAX_WAIT_MS } from '../../src/bus/redis/outbox.ts'
import type { RedisBusOptions } from '../../src/bus/redis.ts'
import { startCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { freePort, noRedis, startRedis } from '../helpers/redis.ts'
import type { TestRedis } from '../helpers/redis.ts'
import { flush, listen, payloads, serve } from './contract/harness.ts'
import { openBus, quickClock } from './streams-harness.ts'
import type { Opened } from './streams-harness.ts'

const OPENSSL = '/usr/bin/openssl'
const noOpenssl: string | false = existsSync(OPENSSL)
  ? false
  : `${OPENSSL} is not there to make a certificate`
const SPEAK_OVER_TLS = `
  const { openRedisBus } = await import(process.argv[1])
  const { systemClock } = await import(new URL('../base/clock.js', process.argv[1]))
  const bus = await openRedisBus({ herd: 'h', server: { url: process.argv[2] }, messageBytes: 1000, buffer: 10, clock: systemClock })
  const sub = bus.subscribe('x')
  await bus.publish('x', 'over TLS')
  for await (const message of sub) {
    console.log('received', message.payload, 'on', bus.connections, 'connections')
    break
  }
  await bus.close()`
const SPEED = 20

async function open(t: Test, server: TestRedis, options: Partial<RedisBusOptions> = {}): Promise<Opened> {
  return openBus(t, server, { clock: quickClock(SPEED), ...options })
}

async function serverOf(t: Test, options?: Parameters<typeof startRedis>[0]): Promise<TestRedis> {
  const server = await startRedis(options)
  t.teardown(() => server.stop())
  return server
}

/** The codes a batch of publishes ended with: 'sent' for those accepted. */
async function outcomes(published: readonly Promise<void>[]): Promise<string[]> {
  return Promise.all(
    published.map((p) =>
      p.then(
        () => 'sent',
        (error: ByreError) => `${error.code} ${String(error.details?.['sent'])}`,
      ),
    ),
  )
}

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test(
    'server absent at start: published messages wait, and arrive in order once it is reachable',
    async (t) => {
      const server = await serverOf(t, { absent: true })
      const slow = { clock: systemClock }
      const { bus, event } = await open(t, server, slow)
      const sub = bus.subscribe('x')
      const published = [1, 2, 3].map((n) => bus.publish('x', n))
      const down = await event('bus-down')
      t.match(down.reason, /ECONNREFUSED/)
      t.match(bus.health, { up: false, unsent: 3, gaps: 0 })
      t.equal(bus.connections, 0)
      await server.start()
      t.same(await outcomes(published), ['sent', 'sent', 'sent'])
      await sub.ready
      const received: unknown[] = []
      for await (const message of sub) if (received.push(message.payload) === 3) break
      t.same(received, [1, 2, 3])
      t.equal(bus.health!.gaps, 0, 'the first connection ends no gap')
    },
  )

  t.test(
    'server absent for long: waiting messages are rejected as not sent, and the absence is reported once',
    async (t) => {
      const server = await serverOf(t, { absent: true })
      const { bus, events } = await open(t, server)
      const error = await bus.publish('x', 1).catch((e: unknown) => e as ByreError)
      t.match(error, { code: 'BYRE_BUS_UNAVAILABLE', details: { topic: 'x', sent: false } })
      t.match(String(error), new RegExp(`${MAX_WAIT_MS} ms`))
      t.match(bus.health, { unsent: 0, rejected: 1 })
      t.same(
        events.map((e) => e.event),
        ['bus-down', 'bus-down'],
        'one line for each connection',
      )
      const refused = t.rejects(bus.subscribe('y').ready, { code: 'BYRE_BUS_CLOSED' })
      await bus.close()
      await refused
    },
  )

  t.test('publishing while the server is absent is bounded in number and size', async (t) => {
    const server = await serverOf(t, { absent: true })
    const { bus } = await open(t, server, { clock: systemClock })
    const many = Array.from({ length: MAX_UNSENT + 5 }, (_, n) => bus.publish('x', n))
    const counts = outcomes(many)
    await t.rejects(bus.publish('x', 1), { code: 'BYRE_BUS_UNAVAILABLE', details: { sent: false } })
    t.equal(bus.health!.unsent, MAX_UNSENT)
    t.equal(bus.health!.rejected, 6)
    await bus.close()
    const ended = await counts
    t.equal(ended.filter((o) => o.startsWith('BYRE_BUS_CLOSED')).length, MAX_UNSENT)

    const other = await open(t, server, { clock: systemClock })
    const large = 'x'.repeat(1024 * 1024 - 2)
    const sizes = outcomes(Array.from({ length: 20 }, () => other.bus.publish('x', large)))
    t.ok(other.bus.health!.unsent < 17, `${other.bus.health!.unsent} of 20 messages of 1 MiB are held`)
    await other.bus.close()
    await sizes
  })

  t.test(
    'server killed and restarted under load: every publish settles, and missing messages are within the gap',
    async (t) => {
      const server = await serverOf(t)
      const { bus, event } = await open(t, server)
      const { sub } = await listen(bus, 'work', { buffer: 100_000 })
      const gaps: Gap[] = []
      sub.onGap((gap) => gaps.push(gap))
      const received = new Set<number>()
      void (async () => {
        for await (const message of sub) received.add(message.payload as number)
      })()
      const sentAt: number[] = []
      const published: Promise<void>[] = []
      const settled = outcomes(published)
      const push = (): void => {
        const one = bus.publish('work', published.length)
        one.catch(() => {})
        sentAt.push(Date.now())
        published.push(one)
      }
      for (let n = 0; n < 300; n++) push()
      await published[250]
      for (let n = 0; n < 300; n++) push()
      await server.kill()
      for (let n = 0; n < 300; n++) push()
      await event('bus-down', (e) => e.connection === 'subscriber')
      await server.start()
      const reported = await event('bus-gap')
      await event('bus-up', (e) => e.connection === 'commands' && e.downMs !== undefined)
      for (let n = 0; n < 10; n++) push()
      await settled
      const ended = await outcomes(published)
      t.same(
        [...new Set(ended)].filter((o) => o !== 'sent' && !o.startsWith('BYRE_BUS_UNAVAILABLE')),
        [],
      )
      t.same(new Set(ended.slice(-10)), new Set(['sent']))
      await flush(bus)
      const missing = sentAt.filter(
        (at, n) => !received.has(n) && (at < reported.from || at > reported.until),
      )
      t.same(missing, [], 'nothing published outside the gap is missing')
      t.same(gaps, [{ from: reported.from, until: reported.until, reason: reported.reason }])
      t.equal(reported.gaps, 1)
    },
  )

  t.test(
    'a stopped server (SIGSTOP) is detected by the heartbeat, publishing stays bounded, and the bus recovers',
    async (t) => {
      const server = await serverOf(t)
      const { bus, event } = await open(t, server)
      const { take } = await listen(bus, 'x')
      await bus.publish('x', 'before')
      t.same(payloads(await take(1)), ['before'])
      server.signal('SIGSTOP')
      const written = outcomes([bus.publish('x', 1), bus.publish('x', 2)])
      t.match((await event('bus-down', (e) => e.connection === 'commands')).reason, /no answer to PING/)
      await event('bus-down', (e) => e.connection === 'subscriber')
      t.same(await written, Array(2).fill('BYRE_BUS_UNAVAILABLE unknown'), 'they may have been delivered')
      t.same(await outcomes([bus.publish('x', 3)]), ['BYRE_BUS_UNAVAILABLE false'])
      t.equal(bus.health!.up, false)
      server.signal('SIGCONT')
      await event('bus-gap')
      await bus.publish('x', 'after')
      const { value } = (await take(1).then(([m]) => ({ value: m!.payload }))) as { value: unknown }
      t.equal(value, 'after', 'a rejected message does not arrive late')
      t.match(bus.health, { up: true, gaps: 1 })
    },
  )

  t.test(
    'CLIENT KILL of the subscriber is a gap for every subscription and does not affect the other connection',
    async (t) => {
      const server = await serverOf(t)
      const { bus, event, events } = await open(t, server)
      const workers = ['a', 'b', 'c'].map((name) => bus.scoped(name).subscribe(`${name}.*`))
      const gaps = workers.map((sub) => new Promise<Gap>((resolve) => sub.onGap(resolve)))
      await Promise.all(workers.map((sub) => sub.ready))
      await serve(bus, 'ask', (m) => m.reply!(m.payload))
      t.equal(await bus.request('ask', 1), 1)
      const before = Date.now()
      await server.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      for (const gap of await Promise.all(gaps)) {
        t.ok(gap.from <= before && gap.until >= gap.from, 'it starts at the last answered PING')
        t.match(gap.reason, /closed/)
      }
      t.match(await event('bus-gap'), { gaps: 1 })
      t.same(
        events.filter((e) => e.event === 'bus-down').map((e) => e.connection),
        ['subscriber'],
      )
      t.equal(await bus.request('ask', 2), 2, 'requests work again: the inbox was subscribed again')
      t.equal(bus.connections, 2)
    },
  )

  t.test('a subscriber that the server drops for 32 MiB of unread output gets a gap', async (t) => {
    const server = await serverOf(t)
    const { bus, event } = await open(t, server, { buffer: 100_000 })
    const { sub } = await listen(bus, 'flood')
    const gap = new Promise<Gap>((resolve) => sub.onGap(resolve))
    const text = JSON.stringify({ v: 1, id: 'i', ts: 1, payload: 'x'.repeat(100_000) })
    // a script is atomic: the server writes to no client before it ends
    const script = "for i = 1, 400 do redis.call('publish', ARGV[1], ARGV[2]) end"
    await server.call('EVAL', script, 0, 'byre:h:flood', text)
    const reported = await gap
    t.ok(reported.until >= reported.from)
    await event('bus-gap')
    t.equal(bus.health!.gaps, 1)
    t.ok(sub.queued < 400, `${sub.queued} of 400 arrived`)
    t.equal(sub.dropped, 0, 'the buffer of the subscription dropped none')
    const { take } = await listen(bus, 'after')
    await bus.publish('after', 1)
    t.same(payloads(await take(1)), [1])
  })

  t.test('a server out of memory still carries messages', async (t) => {
    const server = await serverOf(t)
    const { bus } = await open(t, server)
    const { take } = await listen(bus, 'x.*')
    await server.call('CONFIG', 'SET', 'maxmemory', '1')
    await t.rejects(server.call('SET', 'k', 'v'), /OOM/)
    await bus.publish('x.1', 1)
    t.same(payloads(await take(1)), [1])
    const late = bus.subscribe('y')
    await late.ready
  })

  t.test(
    'a wrong password is reported without any password, and the bus connects once it is correct',
    async (t) => {
      const [right, wrong] = ['richtig/1', 'falsch@2']
      const server = await serverOf(t, { args: ['--requirepass', right], password: right })
      const url = `redis://:${encodeURIComponent(wrong)}@127.0.0.1:${server.port}`
      const { bus, event, events } = await open(t, server, { server: { url } })
      const down = await event('bus-down')
      t.match(down.reason, /WRONGPASS/)
      const error = await bus.publish('x', 1).catch((e: unknown) => e as ByreError)
      t.match(error, { code: 'BYRE_BUS_UNAVAILABLE' })
      await server.call('CONFIG', 'SET', 'requirepass', wrong)
      await event('bus-up')
      await bus.subscribe('x').ready
      const texts = JSON.stringify([
        events,
        String(error),
        (error as ByreError).stack,
        (error as ByreError).details,
      ])
      for (const secret of [right, wrong, encodeURIComponent(wrong)]) t.notOk(texts.includes(secret), secret)
    },
  )

  t.test('an error of the bus contains no secret, whatever the server or ioredis reports', async (t) => {
    const redact = createRedactor(['geheim'])
    const cause = new Error('connect to redis://me:geheim@host:1 failed: AUTH geheim')
    const hostile = new AggregateError([cause], '')
    for (const thrown of [cause, hostile, 'geheim', { message: 'geheim' }])
      t.notMatch(describeFailure(thrown, redact), /geheim/)
    t.match(describeFailure(hostile, redact), 'connect to redis://***@host:1 failed: AUTH ***')
  })

  t.test('a missing password is reported as such', async (t) => {
    const server = await serverOf(t, { args: ['--requirepass', 'x'], password: 'x' })
    const { event } = await open(t, server)
    t.match((await event('bus-down')).reason, /NOAUTH/)
  })

  t.test('user and password of REDIS_URL are used for the same server only', async (t) => {
    const server = await serverOf(t, { args: ['--requirepass', 'pw'], password: 'pw' })
    const same = await open(t, server, { env: { REDIS_URL: `redis://:pw@127.0.0.1:${server.port}/0` } })
    await same.event('bus-up')
    const other = await open(t, server, { env: { REDIS_URL: 'redis://:pw@127.0.0.2:1' } })
    t.match((await other.event('bus-down')).reason, /NOAUTH/)
  })

  t.test(
    'what the ACL denies is refused with its name; the minimal ACL of a worker is enough for the rest',
    async (t) => {
      const server = await serverOf(t)
      const least = [
        '-@all',
        '+ping',
        '+publish',
        '+subscribe',
        '+psubscribe',
        '+unsubscribe',
        '+punsubscribe',
      ]
      await server.call('ACL', 'SETUSER', 'w', 'on', '>pw', 'resetchannels', '&byre:h:a.*', ...least)
      const url = `redis://w:pw@127.0.0.1:${server.port}`
      const { bus, event } = await open(t, server, { server: { url } })
      const { take } = await listen(bus, 'a.b')
      await bus.publish('a.b', 1)
      t.same(payloads(await take(1)), [1])
      await t.rejects(bus.publish('other', 1), { code: 'BYRE_BUS_REFUSED', message: /NOPERM/ })
      await t.rejects(bus.subscribe('other').ready, { code: 'BYRE_BUS_REFUSED', message: /'other'.*NOPERM/ })
      t.match(await event('bus-refused'), { pattern: 'other' })
      // Redis compares a glob with the ACL literally
      await t.rejects(bus.subscribe('a.*').ready, { code: 'BYRE_BUS_REFUSED' })
      await server.call('ACL', 'SETUSER', 'w', '&byre:h:c.?*')
      await bus.subscribe('c.*').ready
      t.match(bus.health, { up: true, gaps: 0 })
    },
  )

  t.test(
    'rediss:// uses TLS and refuses a certificate that it cannot verify',
    { skip: noOpenssl },
    async (t) => {
      const folder = mkdtempSync(join(tmpdir(), 'byre-tls-'))
      t.teardown(() => rmSync(folder, { recursive: true, force: true }))
      const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2']
      const made = [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        ...subject,
      ]
      execFileSync(OPENSSL, [...made, '-keyout', key, '-out', cert], { stdio: 'ignore' })
      const port = await freePort()
      const tls = [
        '--tls-port',
        `${port}`,
        '--tls-cert-file',
        cert,
        '--tls-key-file',
        key,
        '--tls-auth-clients',
        'no',
      ]
      const server = await serverOf(t, { args: [...tls, '--tls-ca-cert-file', cert] })
      const url = `rediss://localhost:${port}`
      const untrusting = await open(t, server, { server: { url } })
      t.match((await untrusting.event('bus-down')).reason, /self-signed/)
      t.equal(untrusting.bus.health!.up, false)

      const child = startCleanNode(
        [
          '--input-type=module',
          '-e',
          SPEAK_OVER_TLS,
          new URL('../../src/bus/redis.js', import.meta.url).href,
          url,
        ],
        { env: { NODE_EXTRA_CA_CERTS: cert } },
      )
      t.match(await child.stdout.next('received'), /over TLS on 2 connections/)
      t.equal((await child.exit).code, 0)
    },
  )
}
