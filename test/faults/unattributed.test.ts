// Law 2: errors of nobody, and errors of byre's own code, are never charged to a worker.
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
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
  t.same(await drained.exit(), { code: 1, signal: null })
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
  t.same(await exiting.exit(), { code: 1, signal: null })
  t.match(await exiting.line({ event: 'unattributed' }), { via: 'process.exit', stack: /nobody\.mjs/ })
})

/**
 * A preload that breaks an intrinsic once a file is there: the next piece of byre that needs it throws a TypeError in a
 * frame of its own, called by nobody's code. `accesses` is how often it stays broken.
 */
const breaker = (when: string, accesses: number): string => `
import { existsSync } from 'node:fs'
const ceil = Math.ceil
let left = ${accesses}
const broken = { configurable: true, get: () => (new Error().stack.includes('scheduler.js') && left-- > 0 ? undefined : ceil) }
const timer = setInterval(() => {
  if (!existsSync(${JSON.stringify(when)})) return
  clearInterval(timer)
  Object.defineProperty(Math, 'ceil', broken)
}, 5)
timer.unref()`

for (const [accesses, how] of [
  [1, 'that happens once'],
  [Infinity, 'that the drain meets as well'],
] as const)
  t.test(
    `an error of byre's own code ${how} drains the herd, exits 70 and is charged to nobody`,
    async (t) => {
      const folder = herdFolder(t)
      const ticks = `export const run = (ctx) => { ctx.every(20, () => {}); return new Promise((resolve) => ctx.signal.addEventListener('abort', resolve)) }`
      const broken = await startHerd(t, {
        folder,
        files: { 'break.mjs': breaker(`${folder}/now`, accesses) },
        workers: { one: ticks, two: ticks },
        nodeArgs: ['--import', `${folder}/break.mjs`],
      })
      writeFileSync(`${folder}/now`, '')
      t.same(await broken.exit(), { code: 70, signal: null })
      t.match(await broken.line({ event: 'internal-error' }), {
        level: 60,
        message: /ceil is not a function/,
        stack: /scheduler\.js/,
      })
      t.same(broken.matching({ event: 'exit' }), [], 'no worker was charged')
      if (accesses === 1)
        for (const worker of ['one', 'two'])
          t.same(
            broken.matching({ event: 'transition', worker, to: 'stopped' }).length,
            1,
            'each was stopped in order',
          )
    },
  )
