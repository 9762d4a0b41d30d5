// The sink on real pipes, terminals, sockets and files whose readers read, pause, resume or exit.
import { spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createFdSink, isTerminal } from '../../src/log/fd-sink.ts'
import { cleanNode, startCleanNode } from '../helpers/clean-node.ts'
import { nextEvent, readLines, within } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const writer = fileURLToPath(new URL('../../../test/fixtures/log/write-lines.mjs', import.meta.url))

interface Said {
  readonly what: string
  readonly turns: number
  readonly dropped: number
  readonly queued: number
  readonly grownBytes: number
  readonly flushed?: boolean
  readonly ms?: number
  readonly blocking?: string
}

// A stdio "pipe" of Node's child_process is a socket pair; a shell's pipe is a FIFO.
const KINDS: readonly [string, readonly string[]][] = [
  ['a pipe', ['sh', '-c', 'exec "$@" | cat', 'sh']],
  ['a socket', []],
]
for (const [kind, prefix] of KINDS) {
  t.test(
    `${kind} nobody reads: the loop lives, memory is bounded, drops are counted and reported later`,
    async (t) => {
      // 200,000 lines of 200 bytes = 40 MB into a kernel buffer of some 100 KiB and a queue of 1 MiB
      const child = cleanNode([writer, '200000', '200', '1000'], { prefix })
      child.stdout!.pause()
      const said = readLines(child.stderr!)
      const written = JSON.parse(await said.next('written')) as Said
      t.equal(written.turns, 200, 'every turn of the loop took place')
      t.equal(written.blocking, undefined)
      t.ok(written.dropped > 180_000 && written.dropped < 200_000, `dropped ${written.dropped}`)
      t.ok(written.queued <= 1 << 20)
      t.ok(written.grownBytes < 40e6, `grew by ${written.grownBytes}`)
      const flushed = JSON.parse(await said.next('flushed')) as Said
      t.equal(flushed.flushed, false)
      t.ok(flushed.ms! >= 299, `the flush gave up after ${flushed.ms} ms`)

      const lines = readLines(child.stdout!)
      await lines.next(/^dropped/)
      child.stdin!.write('end\n')
      t.match(JSON.parse(await said.next('end')), { flushed: true })
      const all = await lines.end()
      const kept = all.filter((line) => !line.startsWith('dropped'))
      const reported = all.filter((line) => line.startsWith('dropped')).map((line) => Number(line.slice(8)))
      t.equal(
        reported.reduce((sum, n) => sum + n, kept.length),
        200_000,
        'kept + dropped = written',
      )
      t.ok(
        kept.every((line) => line.length === 199),
        'no line is torn',
      )
      const numbers = kept.map((line) => Number.parseInt(line))
      t.equal(numbers[0], 0)
      t.ok(
        numbers.every((n, i) => i === 0 || n > numbers[i - 1]!),
        'the order is kept',
      )
    },
  )

  t.test(`${kind}: no line is lost that fits in the queue but not in the kernel's buffer`, async (t) => {
    const child = cleanNode([writer, '9000', '100', '100', '10000'], { prefix })
    const lines = readLines(child.stdout!)
    const said = readLines(child.stderr!)
    t.match(JSON.parse(await said.next('flushed')), { flushed: true, dropped: 0 })
    child.stdin!.write('end\n')
    t.equal((await lines.end()).length, 9000)
  })
}

t.test('a pipe whose reader is gone loses lines but does not end the process', async (t) => {
  const child = cleanNode([writer, '1000', '100', '10'], { prefix: ['sh', '-c', 'exec "$@" | true', 'sh'] })
  const said = readLines(child.stderr!)
  const end = JSON.parse(await said.next('flushed')) as Said
  t.ok(end.dropped > 0)
  child.stdin!.write('end\n')
  t.match(JSON.parse(await said.next('end')), { flushed: true })
  t.same(await nextEvent(child, 'close'), [0, null])
})

t.test('the O_NONBLOCK of byre does not affect other writers of its pipe', async (t) => {
  // after byre has opened its sink, another writer of the same pipe fills it: its write must block, not fail
  const script = `(exec "$@" <&0 & echo $! >&2; wait; dd if=/dev/zero bs=1M count=2 status=none && echo; echo done >&2) | (sleep 0.3; cat)`
  const child = cleanNode([writer, '10', '10', '10'], { prefix: ['sh', '-c', script, 'sh'] })
  child.stdout!.resume()
  const said = readLines(child.stderr!)
  await said.next('flushed')
  child.stdin!.end('end\n')
  await said.next('done')
  t.same(await nextEvent(child, 'close'), [0, null])
  t.notOk(said.all.join().includes('temporarily unavailable'), said.all.join('\n'))
})

t.test('a terminal on hold does not block the loop', async (t) => {
  // script(1) gives the child a pty and copies it to its own stdout, which is not read here
  const command = `${process.execPath} ${writer} 20000 200 100 2>&3 3>&-`
  const child = spawn('/usr/bin/env', ['-i', 'script', '-qec', command, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore', 'pipe'],
  })
  child.stdout!.pause()
  const said = readLines(child.stdio[3] as Socket)
  const written = JSON.parse(await said.next('written')) as Said
  t.equal(written.turns, 200)
  t.ok(written.dropped > 0)
  t.equal(written.blocking, undefined)
  child.kill('SIGKILL')
  child.stdout!.resume()
  await nextEvent(child, 'close')
})

t.test('a file and /dev/null accept everything at once', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'byre-sink-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  for (const path of [join(dir, 'log'), '/dev/null']) {
    const fd = openSync(path, 'a')
    const sink = await createFdSink({ fd })
    sink.write('ü\n')
    t.equal(sink.writeSync('last\n', 100), true)
    t.equal(await sink.flush(0), true)
    sink.close()
    sink.write('late\n')
    t.equal(sink.writeSync('late\n', 0), false)
    t.equal(sink.dropped, 1)
    closeSync(fd)
    t.equal(isTerminal(fd), false, 'a closed descriptor is no terminal')
  }
  t.equal(readFileSync(join(dir, 'log'), 'utf8'), 'ü\nlast\n')
})

t.test('a full disk loses lines and reports them when there is space again', async (t) => {
  const fd = openSync('/dev/full', 'w')
  const reported: number[] = []
  const sink = await createFdSink({ fd, onDropped: (n) => reported.push(n) })
  sink.write('lost\n')
  sink.write('lost\n')
  t.equal(sink.dropped, 2)
  sink.close()
  t.same(reported, [2])
  closeSync(fd)
})

t.test('a final record waits for a slow reader until its deadline', async (t) => {
  const script = `import { createFdSink } from ${JSON.stringify(new URL('../../src/log/fd-sink.js', import.meta.url).href)}
    const sink = await createFdSink({ fd: 1 })
    for (let i = 0; i < 5000; i++) sink.write('x'.repeat(99) + '\\n')
    const startedAt = performance.now()
    const out = sink.writeSync('last words\\n', 200)
    process.stderr.write(JSON.stringify({ out, ms: performance.now() - startedAt }) + '\\n')
    process.stdin.once('data', () => { process.stderr.write(JSON.stringify({ out: sink.writeSync('really last\\n', 5000) }) + '\\n'); process.abort() })`
  const child = cleanNode(['--input-type=module', '-e', script], { prefix: KINDS[0]![1] })
  child.stdout!.pause()
  const said = readLines(child.stderr!)
  const first = JSON.parse(await said.next('{')) as { out: boolean; ms: number }
  t.equal(first.out, false)
  t.ok(first.ms >= 200, `${first.ms} ms`)
  const lines = readLines(child.stdout!)
  child.stdin!.write('go\n')
  t.match(JSON.parse(await said.next('{')), { out: true })
  t.same((await lines.end()).slice(-2), ['last words', 'really last'], 'nothing is lost to the abort')
})

t.test('the queue of a blocked sink does not keep the process alive', async (t) => {
  const script = `import { createFdSink } from ${JSON.stringify(new URL('../../src/log/fd-sink.js', import.meta.url).href)}
    const sink = await createFdSink({ fd: 1 })
    for (let i = 0; i < 5000; i++) sink.write('x'.repeat(99) + '\\n')
    process.stderr.write(sink.queuedBytes + '\\n')`
  const child = startCleanNode(['--input-type=module', '-e', script])
  child.child.stdout!.pause()
  t.ok(Number(await child.stderr.next()) > 0)
  t.same(await within(child.exit, 'the exit'), { code: 0, signal: null })
  child.child.stdout!.resume()
})
