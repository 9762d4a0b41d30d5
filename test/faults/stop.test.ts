// Stopping: bounded, in reverse start order, the unstopped named, nothing left behind by an ended run.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { Clerk, healthyConfig, healthyWorkers, HEALTHY, missedTicks, SHARED_FILES } from './fleet.ts'

leakGuard(t)
t.jobs = 3

const OBEDIENT = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
const DEAF = `export const run = () => new Promise(() => {})`

/** Names in the order in which their worker came to rest. */
function order(herd: Herd, to: string): string[] {
  return herd.matching({ event: 'transition', to }).map((line) => String(line['worker']))
}

t.test(
  'a worker that ignores its signal is stopped within its time-out, named, and its siblings go on',
  async (t) => {
    const folder = herdFolder(t)
    const herd = await startHerd(t, {
      folder,
      files: SHARED_FILES,
      workers: {
        ...healthyWorkers(),
        bad: `${DEAF}\nsetInterval(() => {}, 1000)`,
        thrower: `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', () => { setTimeout(resolve, 20); throw new Error('abort listener') }))`,
        onabort: `export const run = async (ctx) => { ctx.signal.onabort = () => { throw new Error('onabort') }; await new Promise(() => {}) }`,
      },
      config: {
        workers: {
          ...healthyConfig(folder),
          bad: { stopTimeout: '200ms' },
          onabort: { stopTimeout: '100ms' },
        },
      },
    })
    const clerk = new Clerk(herd)
    await clerk.reset()
    await t.test('byre stop: unstopped is said in the status and in the log', async (t) => {
      t.equal((await herd.act('bad', 'stop')).status, 202)
      const bad = await herd.untilWorker('bad', (worker) => worker.state === 'stopped')
      t.match(bad.lastExit, {
        verdict: 'stopped',
        reason: /unstopped.*ignored its signal for 0\.2 s/,
        evidence: { unstopped: true, stopTimeoutMs: 200 },
      })
      t.match(await herd.line({ event: 'unstopped', worker: 'bad' }), { level: 50, stopTimeoutMs: 200 })
    })
    await t.test(
      'an abort listener that throws is told and does not keep the worker from stopping',
      async (t) => {
        await herd.act('thrower', 'stop')
        t.match(
          (await herd.untilWorker('thrower', (worker) => worker.state === 'stopped')).lastExit?.verdict,
          /^(done|stopped)$/,
        )
        await herd.line({ worker: 'thrower', event: 'error-while-stopping', msg: /abort listener/ })
        await herd.act('onabort', 'stop')
        await herd.untilWorker('onabort', (worker) => worker.state === 'stopped')
        await herd.line({ worker: 'onabort', msg: /onabort/ })
      },
    )
    await t.test('a stopped worker starts again by hand', async () => {
      await herd.act('bad', 'start')
      await herd.untilWorker('bad', (worker) => worker.state === 'running')
    })
    const census = await clerk.census()
    t.same(missedTicks(census), [])
    for (const name of HEALTHY)
      t.match(await herd.worker(name), { state: 'running', restarts: 0, failures: 0 })
    t.same(
      await herd.stop(),
      { code: 0, signal: null },
      'a graceful stop exits 0 also when some were unstopped',
    )
    t.match(await herd.line({ event: 'stopped' }), { code: 0, unstopped: ['bad'] })
  },
)

t.test('what an ended run leaves behind is named and cleared', async (t) => {
  const herd = await startHerd(t, {
    files: {
      'lib/shared.mjs': `import { EventEmitter } from 'node:events'\nexport const emitter = new EventEmitter()`,
    },
    workers: {
      owner: `import { emitter } from '../lib/shared.mjs'\nexport const run = async (ctx) => { for await (const m of ctx.bus.subscribe('count', { signal: ctx.signal })) await m.reply({ listeners: emitter.listenerCount('ping'), leaked: globalThis.leaked ?? 0 }) }`,
      leaky: `
import { emitter } from '../lib/shared.mjs'
import { EventEmitter } from 'node:events'
export async function run(ctx) {
  setInterval(function poll() { globalThis.leaked = (globalThis.leaked ?? 0) + 1 }, 5)
  setTimeout(function later() {}, 60_000)
  clearTimeout(setTimeout(function cleared() {}, 60_000))
  emitter.on('ping', () => {})
  emitter.once('ping', () => {})
  const removed = () => {}
  emitter.on('ping', removed)
  emitter.off('ping', removed)
  new EventEmitter().on('own', () => {})
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`,
      asker: `
export async function run(ctx) {
  for await (const _ of ctx.bus.subscribe('ask', { signal: ctx.signal }))
    ctx.log.info({ event: 'answer', ...(await ctx.bus.request('count', null)) }, 'answer')
}`,
      prompter: `export async function run(ctx) { await ctx.bus.publish('ask', null) }`,
    },
    config: { workers: { prompter: { after: ['asker', 'owner', 'leaky'], restart: 'never' } } },
  })
  t.match(await herd.line({ event: 'answer' }), { listeners: 2 })
  await herd.act('leaky', 'stop')
  const line = await herd.line({ event: 'leftovers', worker: 'leaky' })
  t.same(line['timers'], ['setInterval(poll)', 'setTimeout(later)'])
  t.same(line['listeners'], [`EventEmitter.on('ping')`, `EventEmitter.on('ping')`])
  const counts: unknown[] = []
  for (let i = 0; i < 2; i++) {
    const from = herd.mark()
    await herd.act('prompter', 'start')
    const answer = await herd.line({ event: 'answer' }, from)
    t.equal(answer['listeners'], 0)
    counts.push(answer['leaked'])
  }
  t.equal(counts[0], counts[1], 'the interval of the ended run ticks no more')
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test(
  'a whole shutdown is in reverse start order, each level bounded, and names the unstopped',
  async (t) => {
    const herd = await startHerd(t, {
      workers: { first: OBEDIENT, second: OBEDIENT, deaf: DEAF, last: OBEDIENT },
      config: {
        workers: {
          second: { after: ['first'] },
          deaf: { after: ['second'], stopTimeout: '300ms' },
          last: { requires: ['deaf'] },
        },
      },
    })
    t.same(order(herd, 'running'), ['first', 'second', 'deaf', 'last'])
    t.same(
      await herd.stop(),
      { code: 0, signal: null },
      'a worker that does not stop holds it up for its stopTimeout only',
    )
    t.same(order(herd, 'stopping'), ['last', 'deaf', 'second', 'first'])
    t.same(order(herd, 'stopped'), ['last', 'deaf', 'second', 'first'])
    t.match(herd.matching({ event: 'unstopped', workers: ['deaf'] }), [{ level: 50 }])
    t.match(await herd.line({ event: 'stopped' }), { code: 0, unstopped: ['deaf'] })
  },
)

t.test('SIGTERM and SIGINT end a healthy herd with 0', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const herd = await startHerd(t, {
      workers: { one: OBEDIENT, lazy: OBEDIENT },
      config: { workers: { lazy: { activation: { topics: ['x'] } } } },
    })
    herd.signal(signal)
    t.same(await herd.exit(), { code: 0, signal: null }, signal)
  }
})

t.test('a second signal ends the process at once with 128+n', async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const herd = await startHerd(t, {
      workers: { deaf: DEAF },
      config: { workers: { deaf: { stopTimeout: '1m' } } },
    })
    herd.signal(signal)
    await herd.line({ event: 'transition', worker: 'deaf', to: 'stopping' })
    herd.signal(signal)
    t.same(await herd.exit(), { code, signal: null }, 'long before the stopTimeout')
  }
})

t.test('a worker still loading, backing off or waiting does not hold a shutdown up', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: {
      loading: `await new Promise(() => {})\n${OBEDIENT}`,
      failing: `export const run = async () => { throw new Error('x') }`,
      waiting: OBEDIENT,
      up: OBEDIENT,
    },
    config: {
      defaults: { stopTimeout: '1m' },
      workers: { failing: { backoff: { first: '1m' } }, waiting: { requires: ['loading'] } },
    },
  })
  await herd.untilWorker('failing', (worker) => worker.state === 'backing-off')
  await herd.untilWorker('up', (worker) => worker.state === 'running')
  t.match(await herd.worker('waiting'), { state: 'stopped', waitingFor: ['loading'] })
  t.same(await herd.stop(), { code: 0, signal: null }, 'long before the stopTimeout')
  t.match(await herd.line({ event: 'stopped' }), { unstopped: [] })
})

t.test('SIGTERM while the herd still starts stops it, exit 0', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: { slow: `await new Promise((r) => setTimeout(r, 2000))\n${OBEDIENT}`, up: OBEDIENT },
  })
  await herd.line({ event: 'transition', worker: 'up', to: 'running' })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test(
  'a worker that stops amid a request on a connection of a sibling does not harm the sibling',
  async (t) => {
    const herd = await startHerd(t, {
      files: {
        'lib/agent.mjs': `import { Agent } from 'node:http'\nexport const agent = new Agent({ keepAlive: true, maxSockets: 1 })`,
        'lib/ask.mjs': `
import { get } from 'node:http'
import { agent } from './agent.mjs'
export const ask = (port, path) => new Promise((resolve, reject) => {
  const request = get({ port, path, agent }, (response) => response.resume().on('end', () => resolve(request.reusedSocket)))
  request.on('error', reject)
})`,
      },
      workers: {
        server: `
import { createServer } from 'node:http'
export async function run(ctx) {
  let slow
  const server = createServer((request, response) => {
    if (request.url === '/fast') return response.end('x')
    slow = request.socket
    ctx.log.info({ event: 'asked' }, 'asked')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  ctx.ready()
  for await (const m of ctx.bus.subscribe('server', { signal: ctx.signal })) {
    if (m.payload === 'port') await m.reply(server.address().port)
    else slow.resetAndDestroy()
  }
  server.close()
  server.closeAllConnections()
}`,
        owner: `
import { ask } from '../lib/ask.mjs'
export async function run(ctx) {
  await ask(await ctx.bus.request('server', 'port'), '/fast')
  ctx.ready()
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`,
        guest: `
import { ask } from '../lib/ask.mjs'
export async function run(ctx) {
  void ask(await ctx.bus.request('server', 'port'), '/slow').catch((error) => ctx.log.info({ event: 'reset', code: error.code }, 'reset'))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`,
        resetter: `export const run = (ctx) => ctx.bus.publish('server', 'reset')`,
      },
      config: {
        workers: {
          server: { ready: 'call' },
          owner: { ready: 'call', requires: ['server'] },
          guest: { requires: ['owner'] },
          resetter: { activation: { topics: ['never'] } },
        },
      },
    })
    await herd.line({ event: 'asked' })
    await herd.act('guest', 'stop')
    await herd.untilWorker('guest', (worker) => worker.state === 'stopped')
    await herd.act('resetter', 'wake')
    t.match(await herd.line({ worker: 'guest', event: 'reset' }), { code: 'ECONNRESET' })
    for (const name of ['server', 'owner'])
      t.match(await herd.worker(name), { state: 'running', failures: 0, restarts: 0 })
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)
