// A worker that holds the loop of its own thread or process: told, and ended and moved only where its config says so.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

/** Holds its loop for as long as a message says; a sibling sends it. */
const holder = (hold: string): string => `
import { execFileSync } from 'node:child_process'
function grind(ms) { const end = Date.now() + ms; while (Date.now() < end); }
function derive() { execFileSync('sleep', ['4']) }
export async function run(ctx) {
  for await (const { payload } of ctx.bus.subscribe('hold', { signal: ctx.signal })) {
    ${hold}
    ctx.log.info({ event: 'held' }, 'held')
  }
}
`
const HOLDER = holder('grind(payload)')
const sender = (ms: number): string => `export const run = (ctx) => ctx.bus.publish('hold', ${ms})`
const SIBLING = `
export async function run(ctx) { ctx.every(50, () => {}); await new Promise((r) => ctx.signal.addEventListener('abort', r)) }
`

/** What is told of it. */
const PLACES = {
  thread: { kind: 'javascript', function: 'grind', file: /workers\/bad\.mjs$/, line: 3 },
  process: {},
} as const

for (const placement of ['thread', 'process'] as const) {
  t.test(`a worker that holds the loop of its ${placement} is named, and goes on`, async (t) => {
    const herd = await startHerd(t, {
      workers: { bad: HOLDER, sibling: SIBLING, sender: sender(2500) },
      config: { workers: { bad: { placement }, sender: { activation: { topics: ['never'] } } } },
    })
    await herd.act('sender', 'wake')
    const stall = await herd.line({ event: 'stall' })
    const place = PLACES[placement]
    t.match(stall, { worker: 'bad', placement, level: 50, by: 'placement', ...place })
    if (placement === 'process') t.match(stall, { unavailable: { function: /inspector/ } })
    t.match(stall['msg'], new RegExp(`^worker bad holds the loop of its ${placement} for `))
    t.ok(Number(stall['blockedMs']) >= 1000)
    t.ok(Number((await herd.line({ event: 'stall-over', worker: 'bad' }))['blockedMs']) >= 1000)
    const bad = await herd.untilWorker('bad', ({ stalls }) => stalls !== undefined)
    t.match(bad, { state: 'running', failures: 0, restarts: 0, placement })
    t.match(bad.stalls, { count: 1, last: place })
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
          reason: new RegExp(`held the loop of its ${placement}`),
          evidence: placement === 'thread' ? { function: 'grind', line: 3 } : {},
        },
      })
      t.equal(bad.moved?.by, placement === 'thread' ? 'eject' : undefined)
      t.match(await herd.worker('sibling'), { state: 'running', failures: 0, restarts: 0 })
      await herd.stop()
    },
  )
}

t.test('native code in a thread is told as such, and its place when it is back', async (t) => {
  const herd = await startHerd(t, {
    workers: { bad: holder('derive()'), sender: sender(0) },
    config: { workers: { bad: { placement: 'thread' }, sender: { activation: { topics: ['never'] } } } },
  })
  await herd.act('sender', 'wake')
  const native = { worker: 'bad', kind: 'native', by: 'placement' }
  t.match(await herd.line({ event: 'stall' }), { ...native, unavailable: { function: String } })
  t.match(await herd.line({ event: 'stall-confirmed' }), { ...native, function: 'derive', line: 4 })
  await herd.line({ event: 'stall-over' })
  await herd.stop()
})

t.test('two threads that hold their loops at once are each told with their own place', async (t) => {
  const other = HOLDER.replaceAll('grind', 'mill')
  const herd = await startHerd(t, {
    workers: { bad: HOLDER, worse: other, sender: sender(2500) },
    config: {
      workers: {
        bad: { placement: 'thread' },
        worse: { placement: 'thread' },
        sender: { activation: { topics: ['never'] } },
      },
    },
  })
  await herd.act('sender', 'wake')
  t.match(await herd.line({ event: 'stall', worker: 'bad' }), { function: 'grind' })
  t.match(await herd.line({ event: 'stall', worker: 'worse' }), { function: 'mill' })
  for (const worker of ['bad', 'worse']) await herd.line({ event: 'held', worker })
  t.match(await herd.worker('bad'), { failures: 0 })
  t.match(await herd.worker('worse'), { failures: 0 })
  await herd.stop()
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
