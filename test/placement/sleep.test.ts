// sleepAfter: an idle thread or process gives its memory back, and the next message finds it awake.
import t from 'tap'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const SLEEPER = `
export async function run(ctx) {
  for await (const { payload } of ctx.bus.subscribe('job.' + ctx.name)) {
    if (payload.work) await new Promise((r) => setTimeout(r, payload.work))
    // Printed, since repeated log lines of one kind are folded.
    console.log(['took', payload.n, process.pid, ctx.signal.aborted, ctx.wake.by].join(' '))
  }
}`
/** Publishes a numbered job whenever its worker has come to rest, and one exactly while it goes to sleep. */
const FEEDER = `
export async function run(ctx) {
  let n = 0
  const give = (name, more) => ctx.bus.publish('job.' + name, { n: n++, ...more })
  const events = ctx.bus.subscribe('system.*.event')
  await give('p'); await give('t')
  let left = { p: 3, t: 3 }
  for await (const { topic, payload } of events) {
    const name = topic.split('.')[1]
    if (left[name] === undefined || left[name] === 0) continue
    if (payload.to === 'stopping') await give(name)
    if (payload.to === 'dormant') { left[name]--; if (left[name] > 0) await give(name) }
  }
}`

t.test('an idle thread or process is ended, woken by the next message, and loses none', async (t) => {
  const lazy = (placement: 'process' | 'thread') =>
    ({ placement, sleepAfter: '150ms', activation: { topics: [`job.${placement[0]}`] } }) as const
  const herd = await startHerd(t, {
    workers: { p: SLEEPER, t: SLEEPER, feeder: FEEDER },
    config: { workers: { p: lazy('process'), t: lazy('thread') } },
  })
  for (const name of ['p', 't']) {
    const asleep = await herd.untilWorker(name, (w) => w.state === 'dormant' && w.wakes >= 4)
    t.match(asleep, { failures: 0, restarts: 0, lastExit: { verdict: /^(done|stopped)$/ } })
    t.equal(asleep.busDropped, undefined)
    t.equal(asleep.unclaimed, undefined)
  }
  const numbers = (): number[] =>
    herd
      .matching({ msg: /^took / })
      .map((line) => Number(String(line['msg']).split(' ')[1]))
      .toSorted((a, b) => a - b)
  // The last message of each may have come while it went to sleep: it is awake for it once more.
  const took = await herd.until('every message', ({ workers }) => {
    const rested = workers.every((w) => w.name === 'feeder' || w.state === 'dormant')
    const seen = numbers()
    return rested && seen.at(-1) === seen.length - 1 ? seen : undefined
  })
  t.same(
    took,
    Array.from({ length: took.length }, (_, n) => n),
    'each message once',
  )
  t.ok(took.length >= 8, `${took.length} messages`)
  const pids = new Set(
    herd.matching({ msg: /^took /, worker: 'p' }).map((line) => String(line['msg']).split(' ')[2]),
  )
  t.ok(pids.size >= 3, 'each waking is a new process')
  for (const pid of pids)
    await eventually(`the end of ${String(pid)}`, () => {
      try {
        process.kill(Number(pid), 0)
        return undefined
      } catch {
        return true
      }
    })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('a worker that is busy with a message is not put to sleep, however long it takes', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      p: SLEEPER,
      feeder: `export const run = (ctx) => ctx.bus.publish('job.p', { n: 0, work: 600 })`,
    },
    config: {
      workers: { p: { placement: 'process', sleepAfter: '100ms', activation: { topics: ['job.p'] } } },
    },
  })
  t.match(await herd.line({ msg: /^took / }), { msg: /^took 0 \d+ false topic$/ })
  await herd.untilWorker('p', (w) => w.state === 'dormant')
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('an eager worker never sleeps, and is told so', async (t) => {
  const herd = await startHerd(t, {
    workers: { e: SLEEPER },
    config: { workers: { e: { placement: 'thread', sleepAfter: '100ms' } } },
  })
  await herd.line({ event: 'never-sleeps', worker: 'e' })
  t.same(await herd.stop(), { code: 0, signal: null })
})
