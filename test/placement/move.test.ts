// Live moves: by hand and by eject, losing no message, remembered by the next supervisor.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

/** Counts what it gets, and says so when asked to stop. */
const EATER = `
export async function run(ctx) {
  const seen = []
  ctx.signal.addEventListener('abort', () => ctx.log.info({ seen, reason: ctx.signal.reason.kind }, 'seen'))
  for await (const { payload } of ctx.bus.subscribe('food', { buffer: 100000 })) {
    seen.push(payload)
  }
}`
/** 200 numbered messages/s: a slow machine may take seconds for a move before the 1000 that are kept overflow. */
const FEEDER = `
export async function run(ctx) {
  let n = 0
  ctx.every(10, async () => { for (let i = 0; i < 2; i++) await ctx.bus.publish('food', n++) })
  for await (const m of ctx.bus.subscribe('stop-feeding')) void m
}`
const SIBLING = `export const run = async (ctx) => { await new Promise((r) => ctx.signal.addEventListener('abort', r)) }`
const stateOf = (herd: Herd): string => `${herd.folder}/state/h/_all.state.json`

t.test('a live worker is moved through every placement; nothing published meanwhile is lost', async (t) => {
  const herd = await startHerd(t, {
    workers: { eater: EATER, feeder: FEEDER, sibling: SIBLING },
    config: { workers: { feeder: { after: ['eater'] }, eater: { config: null } } },
  })
  const before = await herd.worker('sibling')
  for (const to of ['process', 'thread', 'shared', 'process'] as const) {
    const from = herd.mark()
    t.equal((await herd.act('eater', 'move', { args: { to } })).status, 202)
    const moved = await herd.untilWorker('eater', (w) => w.state === 'running' && w.placement === to)
    t.equal(moved.lastExit?.verdict, 'done')
    t.match(await herd.line({ event: 'moved', worker: 'eater' }, from), {
      to,
      by: 'hand',
      why: /requested by/,
    })
    t.match(await herd.line({ worker: 'eater', msg: 'seen' }, from), { reason: 'move' })
    if (to === 'shared')
      t.notOk(existsSync(stateOf(herd)), 'where its config wants it, nothing is remembered')
    else t.match(moved.moved, { to, by: 'hand' })
  }
  t.match(await herd.act('eater', 'move', { args: { to: 'process' } }), {
    status: 202,
    body: { warning: /process already/ },
  })
  await herd.act('feeder', 'stop')
  await herd.untilWorker('feeder', (w) => w.state === 'stopped')
  await herd.act('eater', 'stop')
  await herd.untilWorker('eater', (w) => w.state === 'stopped')
  const runs = herd.matching({ worker: 'eater', msg: 'seen' }).map((line) => line['seen'] as number[])
  t.equal(runs.length, 5, 'no line was folded')
  const all = runs.flat()
  t.ok(all.length > 20, `${all.length} messages over the moves`)
  t.same(
    all,
    Array.from({ length: all.length }, (_, n) => n),
    'each once, in order, none missing',
  )
  t.same(herd.matching({ event: /^(unclaimed|mailbox-overflow|lost-in-hand)$/ }), [])
  t.same(await herd.worker('sibling'), before, 'its sibling did not notice')
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test(
  'onLimit eject: a worker that keeps failing goes on in a process of its own, remembered',
  async (t) => {
    const folder = herdFolder(t)
    const workers = {
      // Fails in the supervisor's process, runs in a child of it.
      picky: `import { readFileSync } from 'node:fs'
      export async function run(ctx) {
        if (!readFileSync('/proc/self/cmdline', 'utf8').includes('process-entry')) throw new Error('not here')
        await new Promise((r) => ctx.signal.addEventListener('abort', r))
      }`,
      hopeless: `export const run = async () => { throw new Error('nowhere') }`,
      sibling: SIBLING,
    }
    const limit = {
      limit: { failures: 2, within: '1m' },
      backoff: { base: '10ms' },
      onLimit: 'eject',
    } as const
    const config = { workers: { picky: limit, hopeless: limit } }
    const first = await startHerd(t, { folder, workers, config })
    const picky = await first.untilWorker('picky', (w) => w.state === 'running')
    t.match(picky, {
      placement: 'process',
      moved: { to: 'process', by: 'eject', why: /2 failures.*not here/ },
    })
    t.not(picky.pid, first.pid)
    t.match(
      await first.untilWorker('hopeless', (w) => w.state === 'quarantined'),
      { placement: 'process', failures: 4 },
      'what fails there too is quarantined',
    )
    t.match(await first.worker('sibling'), { restarts: 0, failures: 0 })
    t.same(await first.stop(), { code: 0, signal: null })

    await t.test('the next supervisor keeps the decision', async (t) => {
      const herd = await startHerd(t, { folder })
      t.match(await herd.untilWorker('picky', (w) => w.state === 'running'), {
        placement: 'process',
        failures: 0,
        moved: { by: 'eject', until: Number },
      })
      await herd.stop()
    })

    const file = stateOf(first)
    const state = JSON.parse(readFileSync(file, 'utf8')) as { moves: Record<string, { until: number }> }
    await t.test('until its time is over', async (t) => {
      for (const move of Object.values(state.moves)) move.until = Date.now() - 1
      writeFileSync(file, JSON.stringify(state))
      const herd = await startHerd(t, { folder, ready: false })
      await herd.line({ event: 'move-over', worker: 'picky' })
      await herd.line({ event: 'moved', worker: 'picky', by: 'eject' })
      await herd.untilWorker('picky', (w) => w.state === 'running')
      await herd.stop()
    })

    for (const text of [
      '{',
      '[]',
      '{"version":9,"moves":{}}',
      '{"version":1,"moves":{"picky":{"to":"moon"}}}',
    ])
      await t.test(`a state file that reads ${text} is reported at most, and everybody starts`, async (t) => {
        writeFileSync(file, text)
        const herd = await startHerd(t, { folder })
        t.match(await herd.worker('sibling'), { state: 'running' })
        if (!text.includes('moon')) await herd.line({ event: 'state-unreadable' })
        await herd.stop()
      })
  },
)

t.test('what cannot live there is refused with the reason', async (t) => {
  const folder = herdFolder(t)
  const herd = await startHerd(t, {
    folder,
    workers: { cwd: SIBLING },
    files: { 's.cjs': 'setInterval(() => {}, 1000)' },
    config: {
      workers: {
        cwd: { placement: 'process', cwd: '.' },
        script: { placement: 'process', script: './s.cjs', module: undefined } as never,
      },
    },
  })
  for (const [name, to, why] of [
    ['cwd', 'thread', /'cwd' needs a separate process/],
    ['cwd', 'shared', /'cwd' needs a separate process/],
    ['script', 'shared', /no run\(\)/],
  ] as const)
    t.match(await herd.act(name, 'move', { args: { to } }), {
      status: 409,
      body: { error: { message: why } },
    })
  await herd.act('script', 'move', { args: { to: 'thread' } })
  await herd.untilWorker('script', (w) => w.state === 'running' && w.placement === 'thread')
  t.same(await herd.stop(), { code: 0, signal: null })
})
