// Starting in order, giving up at the limit, and what a lost worker does to the herd.
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 3

const STAYS = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
/** Becomes ready when it is told to. */
const READY_ON = `
export async function run(ctx) {
  for await (const _ of ctx.bus.subscribe('ready.' + ctx.name, { signal: ctx.signal })) ctx.ready()
}`
/** Publishes its topics, then stays. */
const TELLS = `
export async function run(ctx) {
  for (const topic of ctx.config) await ctx.bus.publish(topic, null)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
const FAILS = `export const run = async () => { throw new Error('cannot') }`

const transitions = (herd: Herd, worker: string): string[] =>
  herd.matching({ event: 'transition', worker }).map((line) => String(line['to']))

t.test('after and requires wait until what they name is ready, by readiness and not by start', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: { slow: READY_ON, late: STAYS, latest: STAYS, free: STAYS, teller: TELLS },
    config: {
      workers: {
        slow: { ready: 'call' },
        late: { after: ['slow'] },
        latest: { requires: ['late'] },
        teller: { restart: 'never', config: ['ready.slow'], activation: { topics: ['tell'] } },
      },
    },
  })
  await herd.untilWorker('free', (worker) => worker.state === 'running')
  await herd.untilWorker('slow', (worker) => worker.state === 'starting')
  t.match(await herd.worker('late'), { state: 'stopped', waitingFor: ['slow'], restarts: 0 })
  t.match(await herd.worker('latest'), { state: 'stopped', waitingFor: ['late'] })
  await herd.act('teller', 'wake')
  await herd.line({ event: 'ready' })
  const running = herd.matching({ event: 'transition', to: 'running' }).map((line) => String(line['worker']))
  t.same(
    running.filter((name) => ['slow', 'late', 'latest'].includes(name)),
    ['slow', 'late', 'latest'],
  )
  t.notOk((await herd.worker('late')).waitingFor)
  await herd.stop()
})

t.test('a dependency that is given up: requires waits and says for what, after goes on', async (t) => {
  const herd = await startHerd(t, {
    workers: { bad: FAILS, needs: STAYS, follows: STAYS },
    config: {
      workers: {
        bad: { limit: { failures: 2, within: '5m' }, backoff: { base: '10ms' } },
        needs: { requires: ['bad'] },
        follows: { after: ['bad'] },
      },
    },
    ready: false,
  })
  await herd.untilWorker('bad', (worker) => worker.state === 'quarantined')
  await herd.untilWorker('follows', (worker) => worker.state === 'running')
  t.match(await herd.worker('needs'), { state: 'stopped', waitingFor: ['bad'] })
  await herd.stop()
})

t.test('a later failure of what was required does not stop the dependent', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      base: `export async function run(ctx) { for await (const _ of ctx.bus.subscribe('fail', { signal: ctx.signal })) throw new Error('later') }`,
      needs: STAYS,
      teller: TELLS,
    },
    config: {
      workers: {
        base: { limit: { failures: 1, within: '5m' } },
        needs: { requires: ['base'] },
        teller: { config: ['fail'], requires: ['needs'] },
      },
    },
  })
  await herd.untilWorker('base', (worker) => worker.state === 'quarantined')
  t.match(await herd.worker('needs'), { state: 'running', restarts: 0 })
  await herd.stop()
})

t.test('a dormant dependency counts as ready when it is registered', async (t) => {
  const herd = await startHerd(t, {
    workers: { lazy: STAYS, needs: STAYS },
    config: { workers: { lazy: { activation: { topics: ['x'] } }, needs: { requires: ['lazy'] } } },
  })
  t.match(await herd.worker('needs'), { state: 'running' })
  t.match(await herd.worker('lazy'), { state: 'dormant', wakes: 0 })
  await herd.stop()
})

t.test(
  'a failing worker backs off longer each time, is quarantined at its limit, and start by hand ends it',
  async (t) => {
    const herd = await startHerd(t, {
      workers: {
        bad: `
globalThis.runs = 0
export async function run(ctx) {
  if (globalThis.runs++ < 4) throw new Error('run ' + globalThis.runs)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`,
        good: STAYS,
      },
      config: {
        workers: {
          bad: {
            limit: { failures: 4, within: '5m' },
            backoff: { first: '0s', base: '60ms', factor: 3, max: '100ms' },
          },
        },
      },
    })
    const bad = await herd.untilWorker('bad', (worker) => worker.state === 'quarantined')
    t.match(bad, { failures: 4, restarts: 3, quarantine: /4 failures within 300 s.*run 4/ })
    const at = (to: string): number[] =>
      herd.matching({ event: 'transition', worker: 'bad', to }).map((line) => Number(line['time']))
    const [backOff, load] = [at('backing-off'), at('loading')]
    const delays = backOff.map((time, i) => load[i + 1]! - time)
    t.equal(delays.length, 3)
    t.ok(delays[0]! < 50, `first at once: ${delays.join(', ')}`)
    // Jitter multiplies by [1, 1.5); a loaded machine may only add.
    t.ok(delays[1]! >= 58 && delays[2]! >= 98, `then 60 and 100 ms at least: ${delays.join(', ')}`)
    t.match(await herd.worker('good'), { state: 'running', restarts: 0, failures: 0 })
    t.equal((await herd.act('bad', 'start')).status, 202)
    await herd.untilWorker('bad', (worker) => worker.state === 'running')
    t.equal((await herd.worker('bad')).quarantine, undefined)
    await herd.stop()
  },
)

t.test('a worker in backoff starts at once when asked by hand', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: {
      bad: `let runs = 0\nexport const run = async (ctx) => { if (runs++ === 0) throw new Error('x'); ${'await new Promise((r) => ctx.signal.addEventListener("abort", r))'} }`,
    },
    config: { workers: { bad: { backoff: { first: '1h', max: '1h' } } } },
  })
  const bad = await herd.untilWorker('bad', (worker) => worker.state === 'backing-off')
  t.ok((bad.retryAt ?? 0) > Date.now() + 3_000_000)
  await herd.act('bad', 'start')
  await herd.untilWorker('bad', (worker) => worker.state === 'running')
  await herd.stop()
})

const policies: readonly [string, string, object, object][] = [
  [
    'never',
    FAILS,
    { restart: 'never' },
    { state: 'stopped', restarts: 0, failures: 1, lastExit: { verdict: 'failed' } },
  ],
  [
    'on-failure',
    `export const run = async () => {}`,
    {},
    { state: 'stopped', restarts: 0, failures: 0, lastExit: { verdict: 'done' } },
  ],
  [
    'always',
    `export const run = async () => {}`,
    { restart: 'always', limit: { failures: 3, within: '5m' }, backoff: { base: '10ms' } },
    { state: 'quarantined', restarts: 2, failures: 0, lastExit: { verdict: 'done' } },
  ],
]
t.test('restart never, on-failure and always', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: Object.fromEntries(policies.map(([name, source]) => [name, source])),
    config: { workers: Object.fromEntries(policies.map(([name, , config]) => [name, config])) },
  })
  for (const [name, , , wanted] of policies)
    t.match(
      await herd.untilWorker(
        name,
        (w) => w.state === (wanted as { state: string }).state && w.lastExit !== undefined,
      ),
      wanted,
      name,
    )
  await herd.stop()
})

t.test('a critical worker that is lost takes the herd down in order, exit 1', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: { good: STAYS, vital: FAILS },
    config: {
      workers: { vital: { critical: true, limit: { failures: 2, within: '5m' }, backoff: { base: '10ms' } } },
    },
  })
  t.same(await herd.exit(), { code: 1, signal: null })
  t.match(await herd.line({ event: 'escalate' }), { worker: 'vital', level: 60 })
  t.same(transitions(herd, 'good').slice(-2), ['stopping', 'stopped'])
})

t.test(`onLimit: 'exit' takes the herd down, exit 1`, async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: { good: STAYS, bad: FAILS },
    config: { workers: { bad: { onLimit: 'exit', limit: { failures: 1, within: '5m' } } } },
  })
  t.same(await herd.exit(), { code: 1, signal: null })
  t.match(await herd.line({ event: 'stopped' }), { code: 1 })
})

t.test('the pid, the socket and the state folder are free for the next start', async (t) => {
  const folder = herdFolder(t)
  for (let round = 0; round < 2; round++) {
    const herd = await startHerd(t, { folder, workers: { one: STAYS } })
    t.equal((await herd.status()).pid, herd.pid)
    await herd.stop()
  }
})

t.test('a worker stopped by hand while it loads or waits has had its start', async (t) => {
  const herd = await startHerd(t, {
    ready: false,
    workers: {
      slow: 'await new Promise(() => {})\nexport const run = () => {}',
      dep: STAYS,
      bad: FAILS,
      gated: STAYS,
    },
    config: {
      workers: {
        slow: { startTimeout: '1m' },
        dep: { after: ['slow'] },
        bad: { limit: { failures: 2 }, backoff: { base: '200ms' } },
        gated: { requires: ['bad'] },
      },
    },
  })
  await herd.untilWorker('slow', (worker) => worker.state === 'loading')
  await herd.untilWorker('gated', (worker) => worker.waitingFor?.[0] === 'bad')
  await herd.act('gated', 'stop')
  await herd.act('slow', 'stop')
  t.match(await herd.line({ event: 'ready' }), { notReady: ['slow', 'bad', 'gated'] })
  t.equal((await herd.worker('dep')).state, 'running', 'what comes after it goes on')
})
