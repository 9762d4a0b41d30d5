// A worker that holds the loop of its own thread or process: told, and ended and moved only where its config says so.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

/** Holds its loop for 2.5 s, in its first run only; a sibling starts it. */
const HOLDER = `
export async function run(ctx) {
  for await (const { payload } of ctx.bus.subscribe('hold', { signal: ctx.signal })) {
    const end = Date.now() + payload
    while (Date.now() < end);
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
    t.match(stall, { worker: 'bad', placement, level: 50, unavailable: { function: String } })
    t.ok(Number(stall['blockedMs']) >= 1000)
    t.ok(Number((await herd.line({ event: 'stall-over', worker: 'bad' }))['blockedMs']) >= 1000)
    t.match(await herd.worker('bad'), { state: 'running', failures: 0, restarts: 0, placement })
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
        lastExit: { verdict: 'stalled', reason: new RegExp(`held the loop of its ${placement}`) },
      })
      t.equal(bad.moved?.by, placement === 'thread' ? 'eject' : undefined)
      t.match(await herd.worker('sibling'), { state: 'running', failures: 0, restarts: 0 })
      await herd.stop()
    },
  )
}

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
