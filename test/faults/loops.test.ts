// Code that never gives the loop back cannot be ended from outside: the process is killed, and the next start knows whose
// code it was in, whatever kind of turn led there.
import { join } from 'node:path'
import t from 'tap'
import { readBreadcrumb } from '../../src/herd/breadcrumb.ts'
import { eventually } from '../helpers/events.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { checkNextStart, crashing, heldByBad, notedInBad, startWithBad } from './crashes.ts'
import { Clerk } from './fleet.ts'

leakGuard(t)
t.jobs = 2

/** Holds the loop without using the CPU. */
const HOLD = 'for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)'
const inside = {
  lastExit: { verdict: 'stalled', reason: /blocked the loop/, evidence: { enteredAt: Number } },
}
/** The watch for stalls begins when the herd is up, and leaves modules that load to the loop's own notes. */
const loading = {
  lastExit: { verdict: /^(stalled|unknown)$/, reason: /blocked the loop|inside this worker/ },
}

const TURNS: Readonly<Record<string, string>> = {
  'of a timer': `setTimeout(() => { for (;;); }, 1)`,
  'of ctx.every': `ctx.every(10, () => { ${HOLD} })`,
  'of an immediate': `setImmediate(() => { ${HOLD} })`,
  'of a listener a sibling fires': `
  const { emitter } = await import('../lib/emitter.mjs')
  emitter.on('ping', () => { ${HOLD} })
  await ctx.bus.publish('poke', 'emitter')`,
  'of a message': `
  const sub = ctx.bus.subscribe('hold')
  await ctx.bus.publish('hold', 1)
  for await (const _ of sub) { ${HOLD} }`,
  'after an await': `await wait(1); ${HOLD}`,
  'after file input': `await (await import('node:fs/promises')).readFile('/etc/hostname'); ${HOLD}`,
  'of a callback of the kernel': `const fs = await import('node:fs'); fs.readFile('/etc/hostname', () => { ${HOLD} })`,
  'of a socket': `
  const { connect, createServer } = await import('node:net')
  const server = createServer((peer) => peer.end('x')).listen(0, '127.0.0.1', () => {
    connect(server.address().port, '127.0.0.1').on('data', () => { ${HOLD} })
  })`,
}
for (const [turn, fault] of Object.entries(TURNS))
  t.test(`a loop held in a turn ${turn} names its worker`, async (t) => {
    const folder = herdFolder(t)
    const herd = await startWithBad(t, folder, crashing(fault))
    await new Clerk(herd).publish('go.bad')
    await heldByBad(herd)
    await herd.kill()
    await checkNextStart(t, folder, { bad: inside })
  })

t.test('a turn that lasts is noted long before it counts as a stall', async (t) => {
  const folder = herdFolder(t)
  // Its `after` is never reached: nothing but the breadcrumb names it.
  const bad = { stall: { after: '10m' } }
  const herd = await startWithBad(t, folder, crashing('setTimeout(() => { for (;;); }, 1)'), {
    bad,
    defaults: bad,
  })
  await new Clerk(herd).publish('go.bad')
  await notedInBad(herd)
  await herd.kill()
  const next = await startHerd(t, { folder })
  t.match(await next.line({ event: 'last-run' }), {
    worker: 'bad',
    verdict: 'unknown',
    evidence: { state: 'in' },
  })
  await next.kill()
})

t.test('the note of a turn is taken back when the turn is over', async (t) => {
  const folder = herdFolder(t)
  const bad = { stall: { after: '10m' } }
  const fault = 'setTimeout(() => { const end = Date.now() + 1500; while (Date.now() < end); }, 1)'
  const herd = await startWithBad(t, folder, crashing(fault), { bad, defaults: bad })
  await new Clerk(herd).publish('go.bad')
  await notedInBad(herd)
  const file = join(folder, 'state/h/_all.breadcrumb')
  await eventually('the breadcrumb to name nobody', () => readBreadcrumb(file)?.state === 'idle')
  await herd.kill()
  await checkNextStart(t, folder)
})

const STARTS = {
  'at the start of run': `export function run() { ${HOLD} }`,
  'while its module loads': `${HOLD}\nexport const run = () => {}`,
}
for (const [when, source] of Object.entries(STARTS))
  t.test(`a loop held ${when} names its worker`, async (t) => {
    const folder = herdFolder(t)
    const herd = await startWithBad(t, folder, source, { bad: { activation: { topics: ['never'] } } })
    await herd.act('bad', 'wake')
    await heldByBad(herd)
    await herd.kill()
    await checkNextStart(t, folder, { bad: loading, restart: false })
  })
