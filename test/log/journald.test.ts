// journald's stream protocol against a Unix socket; journald-systemd.test.ts runs against the real journald.
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createJournal, streamHeader } from '../../src/log/journald.ts'
import type { Journal } from '../../src/log/journald.ts'
import { startCleanNode } from '../helpers/clean-node.ts'
import { eventually, nextEvent, readLines, within } from '../helpers/events.ts'
import type { Lines } from '../helpers/events.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import type { FakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Fake {
  readonly path: string
  readonly connections: { readonly socket: Socket; readonly lines: Lines }[]
  next(): Promise<{ readonly socket: Socket; readonly lines: Lines }>
  listen(): Promise<void>
  stop(): Promise<void>
}

async function fakeJournald(t: { teardown(fn: () => unknown): void }, reading = true): Promise<Fake> {
  const dir = mkdtempSync(join(tmpdir(), 'byre-journal-'))
  const path = join(dir, 'stdout')
  const connections: { socket: Socket; lines: Lines }[] = []
  let taken = 0
  let server: Server | undefined
  const stop = async (): Promise<void> => {
    for (const { socket } of connections) socket.destroy()
    const stopping = server
    server = undefined
    if (stopping !== undefined) await new Promise((resolve) => stopping.close(resolve))
  }
  const listen = async (): Promise<void> => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.end() // like journald, which never sends
      socket.on('error', () => {})
      if (!reading) socket.pause()
      connections.push({ socket, lines: reading ? readLines(socket) : (undefined as unknown as Lines) })
    })
    server.listen(path)
    await nextEvent(server, 'listening')
  }
  t.teardown(async () => {
    await stop()
    rmSync(dir, { recursive: true })
  })
  await listen()
  return {
    path,
    connections,
    listen,
    stop,
    next: () => eventually('a connection', () => connections[taken] && connections[taken++]),
  }
}

interface Kit {
  readonly journal: Journal
  readonly clock: FakeClock
  readonly fallen: string[]
  readonly outages: (string | undefined)[]
}

function kit(path: string, maxStreams?: number): Kit {
  const clock = fakeClock()
  const fallen: string[] = []
  const outages: (string | undefined)[] = []
  const journal = createJournal({
    path,
    clock,
    ...(maxStreams === undefined ? {} : { maxStreams }),
    fallback: (line, identifier) => fallen.push(`${identifier} ${line}`),
    onOutage: (reason) => outages.push(reason),
  })
  return { journal, clock, fallen, outages }
}

const flushed = (journal: Journal): Promise<void> =>
  within(new Promise((resolve) => journal.whenFlushed(resolve)), 'the flush')
const allClosed = (journal: Journal): Promise<true> =>
  eventually('no open stream', () => journal.open === 0 || undefined)

t.test(
  'a stream opens with its first line: header, then lines in order; closing sends the rest',
  async (t) => {
    const fake = await fakeJournald(t)
    const { journal } = kit(fake.path)
    const stream = journal.stream('byre-w')
    t.equal(journal.open, 0)
    stream.write('<6>one\n')
    stream.write('<4>two\n')
    t.equal(stream.flushed, false)
    const { lines } = await fake.next()
    await lines.next('<4>two')
    stream.write('<6>three\n')
    t.equal(stream.flushed, true)
    stream.close()
    stream.close()
    t.same(await lines.end(), ['byre-w', '', '6', '1', '0', '0', '0', '<6>one', '<4>two', '<6>three'])
    t.equal(streamHeader('byre-w').split('\n').length, 8)
    await allClosed(journal)
  },
)

t.test('a stream closed before it is connected still sends its lines', async (t) => {
  const fake = await fakeJournald(t)
  const { journal, fallen } = kit(fake.path)
  const stream = journal.stream('byre-w')
  stream.write('<6>one\n')
  stream.close()
  stream.write('<6>late\n')
  t.same(fallen, ['byre-w <6>late\n'])
  t.equal((await (await fake.next()).lines.end()).at(-1), '<6>one')
  await allClosed(journal)
})

t.test('streams are bounded: one beyond the limit uses the fallback', async (t) => {
  const fake = await fakeJournald(t)
  const { journal, fallen } = kit(fake.path, 2)
  const streams = ['a', 'b', 'c'].map((name) => journal.stream(name))
  for (const stream of streams) stream.write('<6>x\n')
  t.equal(journal.open, 2)
  t.same(fallen, ['c <6>x\n'])
  for (const stream of streams) stream.close()
  await allClosed(journal)
})

t.test(
  'without journald every line uses the fallback, the outage is reported once, retries back off',
  async (t) => {
    const fake = await fakeJournald(t)
    await fake.stop()
    const { journal, clock, fallen, outages } = kit(fake.path)
    const streams = ['a', 'b'].map((name) => journal.stream(name))
    for (const stream of streams) stream.write('<6>x\n')
    await allClosed(journal)
    t.same(fallen.toSorted(), ['a <6>x\n', 'b <6>x\n'])
    t.match(outages, [/ENOENT|ECONNREFUSED/])
    streams[0]!.write('<6>y\n')
    t.equal(journal.open, 0, 'not tried again at once')
    for (const pauseMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
      clock.advance(pauseMs - 1)
      streams[0]!.write('<6>y\n')
      t.equal(journal.open, 0, `not before ${pauseMs} ms`)
      clock.advance(1)
      streams[0]!.write('<6>z\n')
      t.equal(journal.open, 1, `after ${pauseMs} ms`)
      await allClosed(journal)
    }
    t.equal(outages.length, 1)
    t.equal(fallen.filter((line) => line === 'a <6>z\n').length, 7, 'no line of an attempt is lost')
    await fake.listen()
    clock.advance(30_000)
    streams[0]!.write('<6>back\n')
    await (await fake.next()).lines.next('<6>back')
    t.equal(outages.at(-1), undefined)
    streams[0]!.close()
    await allClosed(journal)
  },
)

t.test('after a restart of journald the next line reopens the stream', async (t) => {
  const fake = await fakeJournald(t)
  const { journal, clock, fallen, outages } = kit(fake.path)
  const stream = journal.stream('byre-w')
  stream.write('<6>one\n')
  const first = await fake.next()
  await first.lines.next('<6>one')
  first.socket.destroy()
  await eventually('the write that fails', async () => {
    if (fallen.length === 0) stream.write('<6>gone\n')
    return fallen.length > 0
  })
  await allClosed(journal)
  t.same(new Set(fallen), new Set(['byre-w <6>gone\n']))
  clock.advance(1000)
  stream.write('<6>two\n')
  const second = await fake.next()
  await second.lines.next('<6>two')
  t.same(second.lines.all.slice(0, 1), ['byre-w'])
  t.equal(outages.length, 2)
  stream.close()
  await allClosed(journal)
})

t.test(
  'a journald that does not read costs lines, not memory; it gets the count when it reads',
  async (t) => {
    const fake = await fakeJournald(t, false)
    const { journal } = kit(fake.path)
    const stream = journal.stream('byre-w')
    stream.write('<6>first\n')
    const { socket } = await fake.next()
    await flushed(journal)
    const line = `<6>${'x'.repeat(96)}\n`
    for (let i = 0; i < 20_000; i++) stream.write(line)
    t.equal(stream.flushed, false)
    t.ok(journal.lostBytes > 1e6, `lost ${journal.lostBytes} of 2 MB`)
    const lines = readLines(socket)
    const counted = await lines.next(/^<4>Dropped/)
    await flushed(journal)
    stream.write('<6>after\n')
    await lines.next('<6>after')
    const kept = lines.all.filter((l) => l.startsWith('<6>x')).length
    t.equal(kept + Number(/Dropped (\d+) log lines/.exec(counted)![1]), 20_000, 'kept + dropped = written')
    t.equal(journal.lostBytes, (20_000 - kept) * 100)
    stream.close()
    await allClosed(journal)
  },
)

t.test('flushing a broken or idle journal ends and leaves no listeners', async (t) => {
  const fake = await fakeJournald(t, false)
  const { journal } = kit(fake.path)
  await flushed(journal)
  const stream = journal.stream('byre-w')
  stream.write('<6>x\n')
  for (let i = 0; i < 30; i++) await flushed(journal)
  for (let i = 0; i < 5000; i++) stream.write(`<6>${'x'.repeat(96)}\n`)
  const pending = flushed(journal)
  const { socket } = await fake.next()
  socket.destroy()
  await pending
  stream.close()
  await allClosed(journal)
})

t.test('a journal has one stream per active worker; other lines are tagged in byre’s own', async (t) => {
  const fake = await fakeJournald(t)
  const fixture = fileURLToPath(new URL('../../../test/fixtures/log/herd-log.mjs', import.meta.url))
  const node = startCleanNode([fixture, JSON.stringify({ format: 'journal', journalPath: fake.path })], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  t.teardown(() => node.kill())
  const step = async (code: string): Promise<unknown> => {
    node.child.stdin!.write(`${code}\n`)
    return JSON.parse(await node.stderr.next()) as unknown
  }
  t.match(JSON.parse(await node.stderr.next()), { format: 'journal' })
  await step(`for (const w of ['a', 'b']) { log.activate(w); log.worker(w).info({ n: 1 }, 'hello') }`)
  await step(`log.worker('c').info('not active'); log.root.warn('byre')`)
  await step(`logTransition(log, { worker: 'a', from: 'running', to: 'stopping', reason: 'asked' })`)
  t.match(await step(`await log.flush(); return log.counts`), {
    dropped: 0,
    journalLostBytes: 0,
    journalStreams: 3,
  })
  await step(`log.deactivate('a'); log.worker('a').error('after the end')`)
  await step(`await log.close()`)
  node.child.stdin!.end()
  t.equal((await node.exit).code, 0)
  const all = await Promise.all(fake.connections.map(({ lines }) => lines.end()))
  const of = (identifier: string): string[] =>
    all.filter((l) => l[0] === identifier).flatMap((l) => l.slice(7))
  t.same(of('byre-a'), [
    '<6>hello n=1',
    '<6>running -> stopping: asked event=transition from=running to=stopping reason=asked',
  ])
  t.same(of('byre-b'), ['<6>hello n=1'])
  t.same(of('byre'), ['<6>[c] not active', '<4>byre', '<3>[a] after the end'])
  t.same(await node.stdout.end(), [])
})

t.test('without journald the lines go to stdout, tagged, after one line that reports it', async (t) => {
  const fixture = fileURLToPath(new URL('../../../test/fixtures/log/herd-log.mjs', import.meta.url))
  const node = startCleanNode([fixture, JSON.stringify({ format: 'journal', journalPath: '/nonexistent' })], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  t.teardown(() => node.kill())
  node.child.stdin!.end(
    `log.activate('a'); log.activate('b'); for (const w of ['a', 'b']) log.worker(w).info('hello'); log.root.info('byre')
    await log.flush(); log.worker('a').warn('again'); log.fatalSync({}, 'last'); await log.close()\n`.replace(
      /\n\s+/,
      '\n',
    ),
  )
  const lines = await node.stdout.end()
  t.equal(lines.filter((line) => line.includes('Cannot reach journald')).length, 1)
  t.same(lines.filter((line) => !line.includes('Cannot reach journald')).toSorted(), [
    '<2>last',
    '<4>[byre-a] again',
    '<6>[byre-a] hello',
    '<6>[byre-b] hello',
    '<6>byre',
  ])
})
