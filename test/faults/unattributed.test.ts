// Law 2: errors of nobody, and errors of byre's own code, are never charged to a worker.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import type { HerdOptions } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const STAYS = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
// The config is evaluated in the supervisor before any worker: what it starts belongs to nobody.
const NOBODY = `import { later } from './lib/nobody.mjs'\nlater()`
const files = {
  'lib/nobody.mjs': `export const later = () => { setTimeout(() => { throw new Error('from nobody') }, 600); setTimeout(() => { void Promise.reject(new Error('also from nobody')) }, 620) }`,
}
const herd: HerdOptions = { files, configPreamble: NOBODY, workers: { one: STAYS, two: STAYS } }

t.test(`onUnattributed: 'drain' stops every worker in order and exits 1`, async (t) => {
  const drained = await startHerd(t, herd)
  t.same(await drained.exit, { code: 1, signal: null })
  t.match(await drained.line({ event: 'unattributed' }), {
    level: 50,
    via: 'uncaughtException',
    message: 'from nobody',
    stack: /nobody\.mjs/,
  })
  t.match(await drained.line({ event: 'stopped' }), { code: 1, unstopped: [] })
  for (const worker of ['one', 'two'])
    t.same(drained.matching({ event: 'transition', worker, to: 'stopped' }).length, 1)
  t.same(drained.matching({ event: 'exit' }), [], 'no worker was charged')
})

t.test(`onUnattributed: 'report' logs, counts and goes on`, async (t) => {
  const reported = await startHerd(t, { ...herd, config: { onUnattributed: 'report' } })
  t.match(await reported.line({ event: 'unattributed', count: 2 }), {
    message: 'also from nobody',
    via: 'unhandledRejection',
  })
  for (const name of ['one', 'two'])
    t.match(await reported.worker(name), { state: 'running', failures: 0, restarts: 0 })
  t.same(await reported.stop(), { code: 0, signal: null })
})

t.test('a process.exit of nobody drains the herd like an error', async (t) => {
  const exiting = await startHerd(t, {
    ...herd,
    files: { 'lib/nobody.mjs': `export const later = () => setTimeout(() => process.exit(0), 600)` },
  })
  t.same(await exiting.exit, { code: 1, signal: null })
  t.match(await exiting.line({ event: 'unattributed' }), { via: 'process.exit', stack: /nobody\.mjs/ })
})
