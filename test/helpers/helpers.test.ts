import { EventEmitter } from 'node:events'
import { spawn } from 'node:child_process'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { cleanNode, runCleanNode, startCleanNode } from './clean-node.ts'
import { eventually, nextEvent, readLines } from './events.ts'
import { leakGuard } from './leak-guard.ts'

leakGuard(t)

/** Runs the guard as tap would: the teardown it registers, after `body`. */
async function guarded(body: () => () => unknown): Promise<string | undefined> {
  let teardown: (() => unknown) | undefined
  leakGuard({ teardown: (fn) => void (teardown = fn) })
  const cleanUp = body()
  try {
    await teardown?.()
    return undefined
  } catch (error) {
    return String(error)
  } finally {
    await cleanUp()
  }
}

t.test('a clean node sees no NODE_OPTIONS and nothing but PATH and the given env', async (t) => {
  process.env['NODE_OPTIONS'] = '--no-deprecation'
  t.teardown(() => delete process.env['NODE_OPTIONS'])
  const script = 'process.stdout.write(JSON.stringify([process.env, process.execArgv]))'
  const result = await runCleanNode(['-e', script], { env: { BYRE_X: '1' } })
  const [env, execArgv] = JSON.parse(result.stdout) as [Record<string, string>, string[]]
  t.same(Object.keys(env).toSorted(), ['BYRE_X', 'PATH'])
  t.same(execArgv, ['-e', script])
})

t.test('a clean node has the pid of its spawn, cwd and prefix', async (t) => {
  const child = cleanNode(['-p', 'process.pid + " " + process.cwd()'], { cwd: '/', prefix: ['nice'] })
  const lines = readLines(child.stdout!)
  t.equal(await lines.next(), `${child.pid} /`)
  await lines.end()
})

t.test('a run that outlives its deadline is killed and named', async (t) => {
  await t.rejects(
    runCleanNode(['-e', 'console.log("here"); setInterval(() => {}, 1000)'], { timeoutMs: 600 }),
    /waited 600 ms for event 'close'.*/,
  )
})

t.test('a running node is read line by line and killed', async (t) => {
  const node = startCleanNode(['-e', 'console.log("a\\nb"); setInterval(() => {}, 1000)'])
  t.equal(await node.stdout.next('b'), 'b')
  await t.rejects(node.stdout.next('c', 50), /waited 50 ms for a line with c; the last lines were\na\nb/)
  await node.kill()
  t.equal((await node.exit).signal, 'SIGKILL')
  await t.rejects(node.stdout.next('c'), /ended without the line/)
})

t.test('lines are whole over chunk borders, the last one needs no newline', async (t) => {
  const stream = new PassThrough()
  const lines = readLines(stream)
  stream.write('a')
  stream.write('b\nc')
  t.equal(await lines.next(/^a/), 'ab')
  stream.end('d')
  t.same(await lines.end(), ['ab', 'cd'])
  t.equal(lines.ended, true)
})

t.test('waiting for an event ends in the event, in an error event, or at the deadline', async (t) => {
  const emitter = new EventEmitter()
  const first = nextEvent(emitter, 'x')
  emitter.emit('x', 1, 2)
  t.same(await first, [1, 2])
  const second = nextEvent(emitter, 'x')
  emitter.emit('error', new Error('broken'))
  await t.rejects(second, /broken/)
  await t.rejects(nextEvent(emitter, 'x', 10), /waited 10 ms for event 'x'/)
  t.equal(emitter.listenerCount('x') + emitter.listenerCount('error'), 0)
  let asked = 0
  t.equal(await eventually('three', () => (++asked === 3 ? asked : undefined)), 3)
  await t.rejects(
    eventually('never', () => undefined, 20),
    /waited 20 ms for never/,
  )
})

t.test('the leak guard names a timer, a child and nothing else', async (t) => {
  t.equal(await guarded(() => () => {}), undefined)
  t.equal(
    await guarded(() => {
      const timer = setTimeout(() => {}, 10)
      return () => clearTimeout(timer)
    }),
    undefined,
    'what ends by itself within the settling time is no leak',
  )
  t.match(
    await guarded(() => {
      const timer = setInterval(() => {}, 60_000)
      return () => clearInterval(timer)
    }),
    /left behind after the test: Timeout x1/,
  )
  t.match(
    await guarded(() => {
      const child = spawn('/usr/bin/env', ['-i', '/bin/cat'])
      return async () => {
        child.kill('SIGKILL')
        await nextEvent(child, 'close')
      }
    }),
    /ProcessWrap x1.*child \d+ \(\w+\)/,
  )
})
