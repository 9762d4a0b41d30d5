// A worker that holds the loop of its own thread or process: told, and ended and moved only where its config says so.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

/** Holds its loop for as long as a message says; a sibling sends it. */
const HOLDER = `
function grind(ms) { const end = Date.now() + ms; while (Date.now() < end); }
export async function run(ctx) {
  for await (const { payload } of ctx.bus.subscribe('hold', { signal: ctx.signal })) {
    grind(payload)
    ctx.log.info({ event: 'held' }, 'held')
  }
}
`
const sender = (ms: number): string => `export const run = (ctx) => ctx.bus.publish('hold', ${ms})`
const SIBLING = `
export async function run(ctx) { ctx.every(50, () => {}); await new Promise((r) => ctx.signal.addEventListener('abort', r)) }
`

for (const placement of ['thread', 'process'] as const) {
  t.test(`a worker that holds the loop of its ${placement} is named, and goes on`, async (t) => {
    const herd = await startHerd(t, {
      workers: { bad: HOLDER, sibling: SIBLING, sender: sender(2500) },
      config: { workers: { bad: { placement }, sender: { activation: { topics: ['never'] } } } },
    })
    await herd.act('sender', 'wake')
    const stall = await herd.line({ event: 'stall' })
    t.match(stall, { worker: 'bad', placement, level: 50, by: 'placement' })
    t.match(stall, { unavailable: { function: /inspector/ } })
    t.match(stall['msg'], new RegExp(`^worker bad blocks the loop of its ${placement} for `))
    t.ok(Number(stall['blockedMs']) >= 1000)
    t.ok(Number((await herd.line({ event: 'stall-over', worker: 'bad' }))['blockedMs']) >= 1000)
    const bad = await herd.untilWorker('bad', ({ stalls }) => stalls !== undefined)
    t.match(bad, { state: 'running', failures: 0, restarts: 0, placement })
    t.match(bad.stalls, { count: 1 })
    t.match(await herd.worker('sibling'), { state: 'running', failures: 0, restarts: 0 })
    t.equal(herd.matching({ event: 'stall' }).length, 1)
    await herd.stop()
  })

  t.test(
    `with onStall: 'eject' it is ended, stalled, and starts in a process (from a ${placement})`,
    async (t) => {
      const herd = await startHerd(t, {
        workers: { bad: HOLDER, sibling: SIBLING, sender: sender(3_600_000) },
        config: {
          workers: {
            bad: { placement, onStall: 'eject', stopTimeout: '300ms', backoff: { first: '0s' } },
            sender: { activation: { topics: ['never'] } },
          },
        },
      })
      await herd.act('sender', 'wake')
      const bad = await herd.untilWorker('bad', (w) => w.restarts === 1 && w.state === 'running')
      t.match(bad, {
        placement: 'process',
        failures: 1,
        lastExit: {
          verdict: 'stalled',
          reason: new RegExp(`blocked the loop of its ${placement}`),
          evidence: { by: 'placement', placement },
        },
      })
      t.equal(bad.moved?.by, placement === 'thread' ? 'eject' : undefined)
      t.match(await herd.worker('sibling'), { state: 'running', failures: 0, restarts: 0 })
      await herd.stop()
    },
  )
}

t.test('threads that hold their loops for about as long as is told, and fail, harm nobody', async (t) => {
  // An inspector in them, as byre once had, ended the herd within a minute of this on Node 20, and at once on 24.
  const brief = `export async function run() {
    for (const end = performance.now() + 950 + Math.random() * 300; performance.now() < end; );
    throw new Error('over')
  }`
  const names = ['a', 'b', 'c', 'd']
  const own = {
    placement: 'thread',
    backoff: { first: '0s', base: '1ms' },
    limit: { failures: 1000 },
  } as const
  const herd = await startHerd(t, {
    workers: { sibling: SIBLING, ...Object.fromEntries(names.map((name) => [name, brief])) },
    config: { workers: Object.fromEntries(names.map((name) => [name, own])) },
  })
  for (const name of names) await herd.untilWorker(name, (w) => w.restarts >= 3)
  t.ok(herd.matching({ event: 'stall' }).length > 0)
  t.match(await herd.worker('sibling'), { state: 'running', failures: 0, restarts: 0 })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('with detect: false nothing is asked and nothing is told', async (t) => {
  const herd = await startHerd(t, {
    workers: { bad: HOLDER, sender: sender(2000) },
    config: {
      defaults: { stall: { detect: false } },
      workers: { bad: { placement: 'process' }, sender: { activation: { topics: ['never'] } } },
    },
  })
  await herd.act('sender', 'wake')
  await herd.line({ event: 'held' })
  await herd.status()
  t.same(herd.matching({ event: 'stall' }), [])
  await herd.stop()
})
