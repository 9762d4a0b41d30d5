// After the death of the whole process the next start names who was inside, isolates the proven culprit, and brings the
// siblings up (law 1). Loops that are held are in loops.test.ts.
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { checkNextStart, crashing, startWithBad } from './crashes.ts'
import { Clerk } from './fleet.ts'

leakGuard(t)
t.jobs = 2

const BURN = 'const hoard = []; for (;;) hoard.push(new Array(1e4).fill(Math.random()))'
const STAYS = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
const oom = { lastExit: { verdict: 'oom-heap', reason: /heap/i, evidence: { namedBy: 'stack' } } }
const NO_STACK =
  Number(process.versions.node.split('.')[0]) < 22 &&
  'Node 20 has no JavaScript stack in its report of a heap that ran out: within one turn nobody is named'

const DEATHS = [
  { law: 'a V8 heap that runs out names the worker whose code allocated', fault: BURN, heap: true, bad: oom },
  {
    law: 'a V8 heap that runs out in a timer names its worker',
    fault: `setTimeout(() => { ${BURN} }, 1)`,
    heap: true,
    bad: oom,
  },
] as const

for (const { law, fault, heap, bad } of DEATHS)
  t.test(law, { skip: heap && NO_STACK }, async (t) => {
    const folder = herdFolder(t)
    const limit = heap ? { nodeOptions: '--max-old-space-size=32' } : {}
    const herd = await startWithBad(t, folder, crashing(`;${fault}`), limit)
    await new Clerk(herd).publish('go.bad')
    t.match(await herd.exit(), { signal: 'SIGABRT' })
    await checkNextStart(t, folder, { bad })
  })

t.test('kill -9 of an idle herd blames nobody', async (t) => {
  const folder = herdFolder(t)
  const herd = await startHerd(t, { folder, workers: { bad: STAYS, other: STAYS } })
  await herd.status()
  await herd.kill()
  await checkNextStart(t, folder, { siblings: ['other'] })
})

t.test('a clean stop blames nobody', async (t) => {
  const folder = herdFolder(t)
  const herd = await startWithBad(t, folder, crashing(''))
  await new Clerk(herd).publish('go.bad')
  await herd.line({ event: 'about-to' })
  t.same(await herd.stop(), { code: 0, signal: null })
  await checkNextStart(t, folder)
})

t.test('a second signal blames nobody', async (t) => {
  const folder = herdFolder(t)
  const herd = await startWithBad(t, folder, `export const run = () => new Promise(() => {})`)
  herd.signal('SIGTERM')
  await herd.line({ event: 'transition', worker: 'bad', to: 'stopping' })
  herd.signal('SIGTERM')
  t.equal((await herd.exit()).code, 143)
  await checkNextStart(t, folder)
})

t.test('a note that is torn, foreign or forged proves nothing', async (t) => {
  const folder = herdFolder(t)
  const first = await startHerd(t, { folder, workers: { bad: STAYS } })
  await first.stop()
  for (const text of [
    '',
    '{',
    'x'.repeat(100_000),
    '{"v":2,"state":"in","worker":"bad"}',
    '{"v":1,"state":"in","worker":"nobody","at":1,"pid":1,"startedAt":1}',
  ]) {
    for (const name of readdirSync(join(folder, 'state/h')))
      writeFileSync(join(folder, 'state/h', name), text)
    await checkNextStart(t, folder, { siblings: [] })
  }
})
