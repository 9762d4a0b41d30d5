// A consumer that awaits nothing but its messages and always has the next one: it never leaves the microtasks of one turn
// by itself. It is stopped, moved and put to sleep like any other, and its siblings go on meanwhile.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const FLOOD = 4000
/** The first take 1 ms each: the moves are over before they are. */
const SLOW = 1000
const EATER = `
const seen = []
export async function run(ctx) {
  const from = seen.length
  ctx.signal.addEventListener('abort', () => ctx.log.info({ reason: ctx.signal.reason.kind, left: true }, 'aborted'))
  try {
    for await (const { payload } of ctx.bus.subscribe('food', { buffer: 100_000 })) {
      for (const end = performance.now() + (payload < ${SLOW} ? 1 : 0); performance.now() < end; );
      seen.push(payload)
      if (payload === ${FLOOD - 1}) ctx.log.info('last')
    }
  } finally {
    // lines that differ in numbers only would be folded
    const word = String(seen[from]).replace(/\\d/g, (digit) => 'abcdefghij'[digit])
    ctx.log.info({ seen: JSON.stringify(seen.slice(from)) }, 'seen ' + word)
  }
}`
/** In bursts: what is published in one turn must fit the consumer's buffer. */
const FEEDER = `
export async function run(ctx) {
  for await (const { payload } of ctx.bus.subscribe('flood')) {
    for (let n = 0; n < payload; n++) {
      void ctx.bus.publish('food', n)
      if (n % 500 === 0) await new Promise((r) => setImmediate(r))
    }
    ctx.log.info('fed')
  }
}`
/** The longest time between two of its ticks. */
const TICKER = `
export async function run(ctx) {
  let last = performance.now(), ticks = 0, worst = 0
  setInterval(() => { const now = performance.now(); worst = Math.max(worst, now - last); last = now; ticks++ }, 20)
  for await (const { payload } of ctx.bus.subscribe('tell-ticks')) ctx.log.info({ ticks, worst }, 'ticks')
}`
const FLOODER = `
export async function run(ctx) {
  ctx.every(1_000_000, () => {})
  await ctx.bus.publish('flood', ${FLOOD})
}`
const KEPT = { limits: { buffer: 100_000 }, sampler: { enabled: false } } as const

async function ticks(herd: Herd): Promise<{ ticks: number; worst: number }> {
  await herd.act('teller', 'start')
  return (await herd.line({ msg: 'ticks' })) as never
}
const TELLER = `export const run = (ctx) => ctx.bus.publish('tell-ticks', 1)`

t.test(
  'it is moved through every placement: each message once, in order, and its siblings tick',
  async (t) => {
    const herd = await startHerd(t, {
      workers: { eater: EATER, feeder: FEEDER, ticker: TICKER, flooder: FLOODER, teller: TELLER },
      config: {
        ...KEPT,
        workers: {
          eater: { stopTimeout: '3s' },
          feeder: { after: ['eater'] },
          ticker: {},
          flooder: { activation: { topics: ['never'] } },
          teller: { activation: { topics: ['never'] } },
        },
      },
    })
    await herd.act('flooder', 'wake')
    for (const to of ['process', 'thread', 'shared', 'thread', 'process', 'shared'] as const) {
      await herd.act('eater', 'move', { args: { to } })
      const moved = await herd.untilWorker('eater', (w) => w.state === 'running' && w.placement === to)
      t.match(moved.lastExit, { verdict: 'done' }, `to ${to}: it saw its signal`)
    }
    await herd.line({ worker: 'eater', msg: 'last' })
    await herd.act('eater', 'stop')
    await herd.untilWorker('eater', (w) => w.state === 'stopped')
    const runs = herd.matching({ worker: 'eater', msg: /^seen/ })
    const each = runs.map((line) => JSON.parse(String(line['seen'])) as number[])
    const seen = each.flat()
    t.equal(runs.length, 7)
    t.ok((each.at(-1)?.length ?? 0) > FLOOD - SLOW, 'no run was left alone until it had taken all')
    t.same([seen.length, seen.findIndex((n, i) => n !== i)], [FLOOD, -1], 'each once, in order')
    t.same(herd.matching({ event: /^(unclaimed|mailbox-overflow|lost-in-hand|dropped|killed)$/ }), [])
    const { worst } = await ticks(herd)
    t.ok(worst < 1000, `its sibling ticked at least every ${Math.round(worst)} ms`)
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

for (const placement of ['shared', 'thread', 'process'] as const)
  t.test(`in ${placement} it is put to sleep and stopped in time, and leaves nothing out`, async (t) => {
    const herd = await startHerd(t, {
      workers: { eater: EATER, feeder: FEEDER, flooder: FLOODER },
      config: {
        ...KEPT,
        workers: {
          eater: { placement, stopTimeout: '3s', activation: { topics: ['food'] } },
          flooder: { activation: { topics: ['never'] } },
        },
      },
    })
    await herd.act('flooder', 'wake')
    const again = { worker: 'eater', event: 'transition', to: 'running' }
    await herd.line(again)
    await herd.line({ worker: 'feeder', msg: 'fed' }) // what is published to a stopped worker is dropped
    let from = herd.mark()
    t.equal((await herd.act('eater', 'sleep')).status, 202)
    await herd.line({ worker: 'eater', reason: 'sleep', left: true }, from)
    await herd.line(again, from) // what it left unread woke it again
    from = herd.mark()
    t.equal((await herd.act('eater', 'stop')).status, 202)
    const stopped = await herd.untilWorker('eater', (w) => w.state === 'stopped')
    t.match(stopped.lastExit, { verdict: 'done' })
    t.equal((await herd.act('eater', 'start')).status, 202)
    await herd.line({ worker: 'eater', msg: 'last' }, from)
    t.same(await herd.stop(), { code: 0, signal: null })
    const seen = herd
      .matching({ worker: 'eater', msg: /^seen/ })
      .flatMap((line) => JSON.parse(String(line['seen'])) as number[])
    t.same([seen.length, seen.findIndex((n, i) => n !== i)], [FLOOD, -1], 'each once, in order')
    t.same(herd.matching({ event: /^(mailbox-overflow|lost-in-hand|dropped|killed)$/ }), [])
  })

t.test('who publishes to itself, awaiting nothing else, leaves its siblings their turns', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      echo: `export async function run(ctx) {
        const sub = ctx.bus.subscribe('echo')
        await ctx.bus.publish('echo', 0)
        for await (const { payload } of sub) await ctx.bus.publish('echo', payload + 1)
      }`,
      asker: `export async function run(ctx) {
        const answer = async () => { for await (const m of ctx.bus.subscribe('ask')) await m.reply(m.payload) }
        void answer()
        while (!ctx.signal.aborted) await ctx.bus.request('ask', 1).catch(() => {}) // the stop cuts one off
      }`,
      ticker: TICKER,
      teller: TELLER,
    },
    config: { sampler: { enabled: false }, workers: { teller: { activation: { topics: ['never'] } } } },
  })
  const { worst } = await ticks(herd)
  t.ok(worst < 1000, `its sibling ticked at least every ${Math.round(worst)} ms`)
  for (const name of ['echo', 'asker']) {
    await herd.act(name, 'stop')
    const stopped = await herd.untilWorker(name, (w) => w.state === 'stopped')
    t.match(stopped.lastExit, { verdict: /^(done|stopped)$/ })
  }
  t.same(await herd.stop(), { code: 0, signal: null })
})
