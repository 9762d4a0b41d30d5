// After the death of the whole process the next start names who was inside, isolates the proven culprit, and brings the
// siblings up (law 1).
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { eventually } from '../helpers/events.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Ended, Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { Clerk, HEALTHY, healthyConfig, healthyWorkers, SHARED_FILES } from './fleet.ts'

leakGuard(t)
t.jobs = 2

const go = `import { go, stopped, wait } from '../lib/go.mjs'`
const body = (fault: string): string => `
${go}
export async function run(ctx) {
  if (ctx.config === 'harmless') return stopped(ctx)
  await go(ctx)
  ctx.log.info({ event: 'about-to' }, 'about to')
  await wait(20)
  ${fault}
  await stopped(ctx)
}`

interface Crash {
  readonly law: string
  readonly source: string
  readonly nodeOptions?: string
  /** Sent once the worker is about to do it. The kernel kills when absent. */
  readonly kill?: 'SIGKILL'
  readonly died: Partial<Ended> | ((ended: Ended) => boolean)
  /** What the next start says of bad; undefined: nobody is blamed. */
  readonly found?: object
}

const SPIN = 'for (;;) {}'
const BURN = 'const hoard = []; for (;;) hoard.push(new Array(1e4).fill(Math.random()))'
const inside = {
  state: 'quarantined',
  lastExit: { verdict: 'unknown', reason: /inside this worker/, evidence: { state: 'in' } },
}
const oom = {
  state: 'quarantined',
  quarantine: /byre start bad/,
  lastExit: { verdict: 'oom-heap', reason: /out of memory|heap/i, evidence: { namedBy: /stack|breadcrumb/ } },
}

const CRASHES: readonly Crash[] = [
  {
    law: 'a V8 heap that runs out names the worker whose code allocated',
    source: body(BURN),
    nodeOptions: '--max-old-space-size=48',
    died: (ended) => ended.signal === 'SIGABRT' || ended.code === 134,
    found: oom,
  },
  {
    law: 'a V8 heap that runs out in a callback of a timer names its worker',
    source: body(`setTimeout(() => { ${BURN} }, 1)`),
    nodeOptions: '--max-old-space-size=48',
    died: (ended) => ended.signal === 'SIGABRT' || ended.code === 134,
    found: oom,
  },
  {
    law: 'process.abort names its caller',
    source: body('process.abort()'),
    died: { signal: 'SIGABRT' },
    found: {
      state: 'quarantined',
      lastExit: { verdict: 'killed', reason: /process\.abort/, evidence: { state: 'abort' } },
    },
  },
  {
    law: 'an endless loop in a timer',
    source: body(`setTimeout(() => { ${SPIN} }, 1)`),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop in ctx.every',
    source: body(`ctx.every(10, () => { ${SPIN} })`),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop in an immediate',
    source: body(`setImmediate(() => { ${SPIN} })`),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop in a listener a sibling fires',
    source: body(
      `const { emitter } = await import('../lib/emitter.mjs'); emitter.on('ping', () => { ${SPIN} }); await ctx.bus.publish('poke', 'emitter')`,
    ),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop on a message of the bus',
    source: body(
      `const sub = ctx.bus.subscribe('spin'); await ctx.bus.publish('spin', 1); for await (const _ of sub) { ${SPIN} }`,
    ),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop after an await',
    source: body(`await wait(1); ${SPIN}`),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop after file input',
    source: body(`await (await import('node:fs/promises')).readFile('/etc/hostname'); ${SPIN}`),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
  {
    law: 'an endless loop in a callback of the kernel',
    source: body(`const fs = await import('node:fs'); fs.readFile('/etc/hostname', () => { ${SPIN} })`),
    kill: 'SIGKILL',
    died: { signal: 'SIGKILL' },
    found: inside,
  },
]

t.test('a herd is brought up after each of these, without the one that took it down', async (t) => {
  t.jobs = 2
  for (const row of CRASHES)
    void t.test(row.law, async (t) => {
      const folder = herdFolder(t)
      const herd = await start(t, folder, row.source, row.nodeOptions)
      const clerk = new Clerk(herd)
      await clerk.publish('go.bad')
      await herd.line({ event: 'about-to', worker: 'bad' })
      if (row.kill !== undefined) {
        await held(herd)
        herd.signal(row.kill)
      }
      const ended = await herd.exit()
      t.ok(typeof row.died === 'function' ? row.died(ended) : true, JSON.stringify(ended))
      if (typeof row.died === 'object') t.match(ended, row.died)
      await nextStart(t, folder, row.found)
    })
})

t.test('an endless loop at the start of run, or while loading, names its worker', async (t) => {
  t.jobs = 2
  const sources = { run: `export function run() { ${SPIN} }`, load: `${SPIN}\nexport const run = () => {}` }
  for (const [where, source] of Object.entries(sources))
    void t.test(where, async (t) => {
      const folder = herdFolder(t)
      const herd = await start(t, folder, source, undefined, { activation: { topics: ['never'] } })
      await herd.act('bad', 'wake')
      await held(herd)
      herd.signal('SIGKILL')
      await herd.exit()
      await nextStart(
        t,
        folder,
        { state: 'quarantined', lastExit: { reason: /inside this worker/ } },
        HEALTHY,
        false,
      )
    })
})

t.test('kill -9 of an idle herd blames nobody', async (t) => {
  const folder = herdFolder(t)
  const herd = await startHerd(t, {
    folder,
    workers: { bad: `${go}\nexport const run = stopped`, other: `${go}\nexport const run = stopped` },
    files: SHARED_FILES,
  })
  await herd.kill()
  await nextStart(t, folder, undefined, ['bad', 'other'])
})

t.test('a clean stop blames nobody, also when the last worker entered was never left', async (t) => {
  const folder = herdFolder(t)
  const herd = await start(t, folder, body(''))
  await new Clerk(herd).publish('go.bad')
  await herd.line({ event: 'about-to' })
  t.same(await herd.stop(), { code: 0, signal: null })
  await nextStart(t, folder, undefined)
})

t.test('a second signal blames nobody', async (t) => {
  const folder = herdFolder(t)
  const herd = await start(t, folder, `export const run = () => new Promise(() => {})`)
  herd.signal('SIGTERM')
  await herd.line({ event: 'transition', worker: 'bad', to: 'stopping' })
  herd.signal('SIGTERM')
  t.equal((await herd.exit()).code, 143)
  await nextStart(t, folder, undefined)
})

t.test('a breadcrumb that is torn, foreign or forged proves nothing', async (t) => {
  for (const text of [
    '',
    '{',
    '{"v":2,"state":"in","worker":"bad"}',
    'x'.repeat(100_000),
    '{"v":1,"state":"in","worker":"nobody","at":1,"pid":1,"startedAt":1}',
  ]) {
    const folder = herdFolder(t)
    const first = await startHerd(t, {
      folder,
      workers: {
        bad: `export const run = async (ctx) => new Promise((r) => ctx.signal.addEventListener('abort', r))`,
      },
    })
    await first.stop()
    for (const name of readdirSync(join(folder, 'state/h')))
      writeFileSync(join(folder, 'state/h', name), text)
    await nextStart(t, folder, undefined, ['bad'])
  }
})

async function start(
  t: Test,
  folder: string,
  source: string,
  nodeOptions?: string,
  bad: object = {},
): Promise<Herd> {
  return startHerd(t, {
    folder,
    files: SHARED_FILES,
    workers: { ...healthyWorkers(), bad: source },
    config: { workers: { ...healthyConfig(folder), bad } },
    env: nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions },
  })
}

/** The loop of the process is held for over a second: it takes a whole CPU. */
async function held(herd: Herd): Promise<void> {
  const cpu = (): number => {
    const fields = readFileSync(`/proc/${herd.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return Number(fields[11]) + Number(fields[12])
  }
  const before = cpu()
  await eventually('a loop that spins', () => cpu() - before > 115)
}

/** Starts again in the same folder: what is said of bad, and the others are up. */
async function nextStart(
  t: Test,
  folder: string,
  found: object | undefined,
  names: readonly string[] = HEALTHY,
  startable = true,
): Promise<void> {
  const herd = await startHerd(t, { folder })
  for (const name of names) t.match(await herd.worker(name), { state: 'running', failures: 0 }, name)
  const said = herd.matching({ event: 'last-run' })
  if (found === undefined) {
    t.same(said, [])
    t.match(await herd.worker('bad'), { state: 'running', failures: 0 })
  } else {
    t.match(said, [{ worker: 'bad', level: 50 }])
    t.match(await herd.worker('bad'), found)
    if (startable) await herd.act('bad', 'start')
    if (startable) await herd.untilWorker('bad', (worker) => worker.state !== 'quarantined')
  }
  await herd.kill()
}
