// Dormant workers: woken by topic, period, cron and by hand; what arrives while the module loads is handed over in
// order, none lost, none twice.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

/** Publishes as many numbers as it is told, at once, when it is woken by hand. */
const sender = (topic: string, count: number): string => `
let next = 0
export async function run(ctx) {
  for (let i = 0; i < ${count}; i++) await ctx.bus.publish('${topic}', next++)
  ctx.log.info({ event: 'sent', next }, 'sent')
}`
const WAKEABLE = { activation: { topics: ['never'] } } as const
/** Takes 'count' numbers, says which, and is done. */
const taker = (pattern: string, count: number, load = ''): string => `
${load}
export async function run(ctx) {
  const seen = []
  if (seen.length < ${count}) for await (const m of ctx.bus.subscribe('${pattern}', { buffer: 100000 })) if (seen.push(m.payload) === ${count}) break
  ctx.log.info({ event: 'seen', seen, by: ctx.wake.by }, 'seen')
}`
const upTo = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i)

const slow = `await new Promise((resolve) => setTimeout(resolve, 150))`

t.test(
  'messages that arrive while a slow module loads are handed over in order, none lost, none twice',
  async (t) => {
    const herd = await startHerd(t, {
      workers: { sender: sender('work.items', 500), lazy: taker('work.>', 500, slow) },
      config: { workers: { sender: WAKEABLE, lazy: { activation: { topics: ['work.>'] } } } },
    })
    await herd.act('sender', 'wake')
    await herd.line({ event: 'sent' })
    t.match(await herd.worker('lazy'), { state: 'loading' }, 'all were sent before the module was loaded')
    const line = await herd.line({ event: 'seen', worker: 'lazy' })
    t.same(line['seen'], upTo(0, 500))
    t.equal(line['by'], 'topic')
    const lazy = await herd.untilWorker('lazy', (worker) => worker.state === 'dormant')
    t.match(lazy, {
      wakes: 1,
      failures: 0,
      restarts: 0,
      lastExit: { verdict: 'done' },
      lastWake: { by: 'topic' },
    })
    t.notOk(lazy.unclaimed)
    t.notOk(lazy.busDropped)
    await t.test('a second wake finds the module loaded and starts where the first ended', async (t) => {
      const from = herd.mark()
      await herd.act('sender', 'wake')
      t.same((await herd.line({ event: 'seen', worker: 'lazy' }, from))['seen'], upTo(500, 500))
      t.equal((await herd.untilWorker('lazy', (worker) => worker.state === 'dormant')).wakes, 2)
    })
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

t.test('messages that a run leaves unread wake the next run, in order and once each', async (t) => {
  // Takes 7 at a time and returns: 100 messages are 15 runs.
  const herd = await startHerd(t, {
    workers: {
      sender: sender('work', 100),
      lazy: `
globalThis.all = []
export async function run(ctx) {
  let taken = 0
  for await (const m of ctx.bus.subscribe('work')) {
    globalThis.all.push(m.payload)
    if (globalThis.all.length === 100) ctx.log.info({ event: 'all', all: globalThis.all }, 'all')
    if (++taken === 7 || globalThis.all.length === 100) break
  }
}`,
    },
    config: { workers: { sender: WAKEABLE, lazy: { activation: { topics: ['work'] } } } },
  })
  await herd.act('sender', 'wake')
  t.same((await herd.line({ event: 'all' }))['all'], upTo(0, 100))
  const lazy = await herd.untilWorker('lazy', (worker) => worker.state === 'dormant')
  t.equal(lazy.wakes, 15)
  t.match(lazy, { failures: 0, restarts: 0 })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test(
  'kept messages go to the first subscription that covers them; what nobody claims is counted and logged',
  async (t) => {
    const herd = await startHerd(t, {
      workers: {
        sender: `
export async function run(ctx) {
  for (const topic of ['a.1', 'b.1', 'c.1', 'a.2', 'b.2', 'c.2', 'c.3']) await ctx.bus.publish(topic, topic)
}`,
        lazy: `
${slow}
const read = async (sub, count) => { const seen = []; for await (const m of sub) if (seen.push(m.payload) === count) return seen }
export async function run(ctx) {
  const subs = [ctx.bus.subscribe('a.*'), ctx.bus.subscribe('*.1')]
  ctx.log.info({ event: 'seen', seen: [await read(subs[0], 2), await read(subs[1], 2)] }, 'seen')
}`,
      },
      config: { workers: { sender: WAKEABLE, lazy: { activation: { topics: ['a.*', 'b.*', 'c.*'] } } } },
    })
    await herd.act('sender', 'wake')
    t.same((await herd.line({ event: 'seen' }))['seen'], [
      ['a.1', 'a.2'],
      ['b.1', 'c.1'],
    ])
    const lazy = await herd.untilWorker(
      'lazy',
      (worker) => worker.state === 'dormant' && (worker.unclaimed ?? 0) > 0,
    )
    t.equal(lazy.unclaimed, 3)
    t.match(await herd.line({ event: 'unclaimed', worker: 'lazy' }), { count: 3, level: 40 })
    await herd.stop()
  },
)

t.test('a request wakes a dormant worker and is answered by it', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      asker: `export async function run(ctx) { ctx.log.info({ event: 'answers', answers: await Promise.all([1, 2, 3].map((n) => ctx.bus.request('double', n))) }, 'answers') }`,
      lazy: `${slow}\nexport async function run(ctx) { for await (const m of ctx.bus.subscribe('double', { signal: ctx.signal })) await m.reply(m.payload * 2) }`,
    },
    config: { workers: { asker: WAKEABLE, lazy: { activation: { topics: ['double'] } } } },
  })
  await herd.act('asker', 'wake')
  t.same((await herd.line({ event: 'answers' }))['answers'], [2, 4, 6])
  await herd.stop()
})

t.test('what is kept is bounded: the oldest goes first, counted and told', async (t) => {
  const herd = await startHerd(t, {
    workers: { sender: sender('work', 100), lazy: taker('work', 10, slow) },
    config: {
      limits: { buffer: 10 },
      workers: { sender: WAKEABLE, lazy: { activation: { topics: ['work'] } } },
    },
  })
  await herd.act('sender', 'wake')
  t.same((await herd.line({ event: 'seen' }))['seen'], upTo(90, 10))
  t.equal((await herd.worker('lazy')).busDropped, 90)
  await herd.line({ event: 'mailbox-overflow', worker: 'lazy' })
  await herd.stop()
})

t.test('messages kept while a lazy worker fails are there for its restart', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      sender: sender('work', 20),
      lazy: `
if ((globalThis.loads = (globalThis.loads ?? 0) + 1) === 1) throw new Error('first load')
let runs = 0
export async function run(ctx) {
  if (runs++ === 0) throw new Error('first run')
  const seen = []
  for await (const m of ctx.bus.subscribe('work')) if (seen.push(m.payload) === 20) break
  ctx.log.info({ event: 'seen', seen }, 'seen')
}`,
    },
    config: {
      workers: { sender: WAKEABLE, lazy: { activation: { topics: ['work'] }, backoff: { base: '50ms' } } },
    },
  })
  await herd.act('sender', 'wake')
  t.same((await herd.line({ event: 'seen' }))['seen'], upTo(0, 20))
  t.match(await herd.untilWorker('lazy', (worker) => worker.state === 'dormant'), {
    failures: 2,
    restarts: 2,
  })
  await herd.stop()
})

t.test('a worker is run once per period; ticks while it runs are skipped and counted', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      quick: `export async function run(ctx) { ctx.log.info({ event: 'tick', by: ctx.wake.by }, 'tick') }`,
      long: `export async function run(ctx) { await new Promise((resolve) => setTimeout(resolve, 250)) }`,
    },
    config: {
      workers: { quick: { activation: { every: '50ms' } }, long: { activation: { every: '50ms' } } },
    },
  })
  const quick = await herd.untilWorker('quick', (worker) => worker.wakes >= 5)
  t.match(quick, { lastWake: { by: 'tick' }, restarts: 0, failures: 0 })
  t.match(await herd.line({ event: 'tick' }), { by: 'tick' })
  const long = await herd.untilWorker('long', (worker) => worker.wakes >= 2)
  t.ok((long.ticksSkipped ?? 0) >= 1, `skipped ${long.ticksSkipped}`)
  await herd.act('long', 'wake')
  t.equal((await herd.untilWorker('long', (worker) => worker.wakes >= 3)).failures, 0)
  await herd.stop()
})

t.test('a worker is run by its cron, in seconds', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      cron: `export async function run(ctx) { ctx.log.info({ event: 'tick', at: Date.now(), by: ctx.wake.by }, 'tick') }`,
    },
    config: { workers: { cron: { activation: { cron: '* * * * * *' } } } },
  })
  await herd.untilWorker('cron', (worker) => worker.wakes >= 2)
  const ticks = herd.matching({ event: 'tick' }).map((line) => Number(line['at']))
  t.equal(Math.floor(ticks[1]! / 1000), Math.floor(ticks[0]! / 1000) + 1, 'one per second')
  await herd.stop()
})

t.test('wake by hand, sleep, stop and start of a lazy worker', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      lazy: `export async function run(ctx) { await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)) }`,
      sender: sender('work', 1),
    },
    config: { workers: { lazy: { activation: { topics: ['work'] } }, sender: WAKEABLE } },
  })
  t.match(await herd.worker('lazy'), { state: 'dormant', activation: 'lazy', wakes: 0 })
  t.match(await herd.act('lazy', 'wake'), { status: 202, body: { ok: true, worker: 'lazy' } })
  t.match(await herd.untilWorker('lazy', (worker) => worker.state === 'running'), {
    lastWake: { by: 'manual' },
  })
  await herd.act('lazy', 'sleep')
  await herd.untilWorker('lazy', (worker) => worker.state === 'dormant')
  await herd.act('sender', 'wake')
  t.match(await herd.untilWorker('lazy', (worker) => worker.state === 'running'), {
    wakes: 2,
    lastWake: { by: 'topic' },
  })
  await herd.act('lazy', 'stop')
  await herd.untilWorker('lazy', (worker) => worker.state === 'stopped')
  const from = herd.mark()
  await herd.act('sender', 'wake')
  await herd.line({ event: 'sent', next: 2 }, from)
  t.match(
    await herd.worker('lazy'),
    { state: 'stopped', wakes: 2 },
    'stopped by hand: messages do not wake it',
  )
  await herd.act('lazy', 'start')
  t.match(await herd.untilWorker('lazy', (worker) => worker.state === 'running'), {
    lastWake: { by: 'manual' },
  })
  await herd.stop()
})

t.test('a thousand dormant workers start, answer and stop', async (t) => {
  const names = upTo(0, 1000).map((n) => `w${n}`)
  const herd = await startHerd(t, {
    workers: {
      asker: `export async function run(ctx) { const all = await Promise.all(Array.from({ length: 1000 }, (_, i) => ctx.bus.request('ask.w' + i, i, { timeout: '20s' }))); ctx.log.info({ event: 'all', sum: all.reduce((a, b) => a + b, 0), count: new Set(all).size }, 'all') }`,
    },
    files: {
      'workers/common.mjs': `export async function run(ctx) { for await (const m of ctx.bus.subscribe('ask.' + ctx.name)) { await m.reply(m.payload); return } }`,
    },
    config: {
      workers: {
        asker: WAKEABLE,
        ...Object.fromEntries(
          names.map((name) => [
            name,
            { module: './workers/common.mjs', activation: { topics: [`ask.${name}`] } },
          ]),
        ),
      },
    },
  })
  const status = await herd.status()
  t.equal(status.workers.filter((worker) => worker.state === 'dormant').length, 1001)
  await herd.act('asker', 'wake')
  t.match(await herd.line({ event: 'all' }, 0, 40_000), { sum: 499_500, count: 1000 })
  await herd.until('all to be dormant again', (s) => s.workers.every((w) => w.state === 'dormant'))
  t.same(
    (await herd.status()).workers.filter((w) => w.failures > 0 || w.restarts > 0),
    [],
  )
  t.same(await herd.stop(), { code: 0, signal: null })
})
