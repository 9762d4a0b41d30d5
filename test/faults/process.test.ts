// Shared fate: what a worker does to the process it shares is trapped, refused, undone or kept to the worker, and named.
import { readFileSync, readlinkSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Expected, Fault, World } from './rows.ts'

leakGuard(t)

const exited = (code: number, more: Partial<Expected> = {}): Expected =>
  code === 0
    ? {
        verdict: 'done',
        state: 'stopped',
        restarts: 0,
        failures: 0,
        evidence: { code: 0 },
        ...more,
      }
    : {
        verdict: 'failed',
        reason: new RegExp(`process\\.exit\\(${code}\\)`),
        evidence: { code },
        ...more,
      }

const touched = (kind: string | RegExp): Expected => ({
  log: [{ event: 'process-touched', kind, level: 40 }],
})

/** What every sibling answers to `see` is `wanted`. */
function siblingsSee(see: string, wanted: unknown) {
  return async (t: Test, { clerk }: World): Promise<void> => {
    const { answered } = await clerk.census(see)
    for (const answer of answered) t.same(answer.seen, wanted, `${answer.name} sees it`)
  }
}

const EXITS: readonly Fault[] = [
  { name: 'exit-0', law: 'process.exit(0) is done', fault: `process.exit(0)`, expect: exited(0) },
  { name: 'exit-plain', law: 'process.exit() is done', fault: `process.exit()`, expect: exited(0) },
  {
    name: 'exit-1',
    law: 'process.exit(1) is a failure of that worker',
    fault: `process.exit(1)`,
    expect: exited(1),
  },
  {
    name: 'exit-text',
    law: `process.exit('3') is a failure with code 3`,
    fault: `process.exit('3')`,
    expect: exited(3),
  },
  {
    name: 'exit-timer',
    law: 'process.exit in a timer ends that worker',
    fault: `setTimeout(() => process.exit(4), 1)`,
    expect: exited(4),
  },
  {
    name: 'exit-immediate',
    law: 'process.exit in an immediate ends that worker',
    fault: `setImmediate(() => process.exit(5))`,
    expect: exited(5),
  },
  {
    name: 'exit-promise',
    law: 'process.exit in a promise ends that worker',
    fault: `void wait(1).then(() => process.exit(6))`,
    expect: exited(6),
  },
  {
    name: 'exit-every',
    law: 'process.exit in ctx.every ends that worker',
    fault: `ctx.every(10, () => process.exit(7))`,
    expect: exited(7),
  },
  {
    name: 'exit-listener',
    law: `process.exit in a listener a sibling fires ends the listener's worker`,
    imports: `import { emitter } from '../lib/emitter.mjs'`,
    fault: `emitter.once('ping', () => process.exit(8)); await ctx.bus.publish('poke', 'emitter')`,
    expect: exited(8),
  },
  {
    name: 'exit-callback',
    law: `process.exit in a callback that a sibling's client calls ends the callback's worker`,
    imports: `import * as client from '../lib/client.mjs'`,
    fault: `client.send(() => process.exit(9))`,
    expect: exited(9),
  },
  {
    name: 'exit-swallowed',
    law: 'a process.exit whose throw is swallowed ends the worker all the same, and the swallowing is told',
    fault: `try { process.exit(10) } catch {}`,
    expect: exited(10, { log: [{ event: 'exit-swallowed' }] }),
  },
  {
    name: 'exit-twice',
    law: 'the first process.exit decides',
    fault: `try { process.exit(11) } catch {}; process.exit(0)`,
    expect: exited(11),
  },
  {
    name: 'exit-uncaught-style',
    law: 'a catch that logs and exits ends that worker',
    fault: `try { throw new Error('fatal') } catch (error) { console.error(error); process.exit(12) }`,
    expect: exited(12, { log: [{ msg: /fatal/ }] }),
  },
  {
    name: 'exit-code-set',
    law: `process.exitCode does not become the herd's`,
    fault: `process.exitCode = 5; ctx.log.info({ event: 'own', code: process.exitCode }, 'own')`,
    expect: { log: [{ event: 'own', code: 5 }] },
  },
  {
    name: 'exit-code-then-exit',
    law: `process.exit() takes the worker's own process.exitCode`,
    fault: `process.exitCode = 13; process.exit()`,
    expect: exited(13),
  },
  {
    name: 'kill-self',
    law: 'a SIGTERM to the own process ends that worker only',
    fault: `process.kill(process.pid, 'SIGTERM')`,
    expect: { verdict: 'failed', stack: false, evidence: { code: 143 } },
  },
  {
    name: 'emit-signal',
    law: `process.emit('SIGTERM') does not reach byre's handlers`,
    fault: `process.emit('SIGTERM', 'SIGTERM')`,
    expect: touched(/SIGTERM/),
  },
]

const PROCESS: readonly Fault[] = [
  {
    name: 'chdir',
    law: 'process.chdir is refused with the remedy',
    fault: `process.chdir('/')`,
    expect: {
      verdict: 'failed',
      evidence: {
        code: 'BYRE_PROCESS_SHARED',
        message: /Use absolute paths, or placement 'process' with 'cwd'/,
      },
      log: [{ event: 'process-touched', kind: 'chdir' }],
    },
    also: async (t, { herd }) => void t.equal(readlinkSync(`/proc/${herd.pid}/cwd`), herd.folder),
  },
  {
    name: 'umask',
    law: 'process.umask(mask) is refused; reading it is not',
    fault: `process.umask(); process.umask(0)`,
    expect: {
      verdict: 'failed',
      evidence: { code: 'BYRE_PROCESS_SHARED' },
      log: [{ event: 'process-touched', kind: 'umask' }],
    },
  },
  {
    name: 'title',
    law: 'process.title is kept to the worker',
    fault: `process.title = 'mine'; ctx.log.info({ event: 'own', title: process.title }, 'own')`,
    expect: {
      log: [
        { event: 'own', title: 'mine' },
        { event: 'process-touched', kind: 'title' },
      ],
    },
    also: async (t, world) => {
      t.notMatch(readFileSync(`/proc/${world.herd.pid}/cmdline`, 'utf8'), /^mine/)
      const { answered } = await world.clerk.census('process.title')
      t.notOk(answered.some((answer) => answer.seen === 'mine'))
    },
  },
  {
    name: 'on-sigterm',
    law: `process.on('SIGTERM') is not attached, and told with the remedy`,
    fault: `process.on('SIGTERM', () => console.log('my own end')); process.once('SIGINT', () => {}); process.prependListener('SIGHUP', () => {})`,
    expect: {
      log: ['SIGTERM', 'SIGINT', 'SIGHUP'].map((name) => ({
        event: 'process-touched',
        kind: `on:${name}`,
        msg: /ctx\.signal/,
      })),
    },
  },
  {
    name: 'on-uncaught',
    law: `process.on('uncaughtException') is not attached: errors still go to byre`,
    fault: `
  process.on('uncaughtException', () => {})
  process.on('unhandledRejection', () => {})
  process.on('uncaughtExceptionMonitor', () => {})
  setImmediate(() => { throw new Error('to byre') })`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: 'to byre' },
      log: [{ event: 'process-touched', kind: 'on:uncaughtException' }],
    },
  },
  {
    name: 'capture-callback',
    law: 'process.setUncaughtExceptionCaptureCallback is refused: errors still go to byre',
    fault: `
  try { process.setUncaughtExceptionCaptureCallback(() => {}) } catch {}
  setImmediate(() => { throw new Error('not captured') })`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: 'not captured' },
      log: [{ event: 'process-touched', kind: /apture/ }],
    },
  },
  {
    name: 'remove-all',
    law: `process.removeAllListeners() removes only the worker's own`,
    fault: `
  process.on('warning', () => {})
  process.removeAllListeners()
  ctx.log.info({ event: 'left', terms: process.listenerCount('SIGTERM'), uncaught: process.listenerCount('uncaughtException') }, 'left')
  setImmediate(() => { throw new Error('still caught') })`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: 'still caught' },
      log: [
        { event: 'left', terms: 1, uncaught: 1 },
        { event: 'process-touched', kind: 'removeAllListeners' },
      ],
    },
  },
  {
    name: 'remove-all-of',
    law: `process.removeAllListeners('SIGTERM') removes only the worker's own`,
    fault: `for (const name of ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection']) process.removeAllListeners(name)`,
    expect: touched('removeAllListeners'),
    also: siblingsSee(`process.listenerCount('SIGTERM') + process.listenerCount('unhandledRejection')`, 2),
  },
  {
    name: 'remove-each',
    law: `a worker cannot take byre's handlers off the process one by one`,
    fault: `
  for (const name of ['SIGTERM', 'uncaughtException', 'unhandledRejection'])
    for (const listener of process.rawListeners(name)) { process.off(name, listener); process.removeListener(name, listener) }`,
    expect: touched(/emoveListener|off/),
    also: siblingsSee(
      `['SIGTERM', 'uncaughtException', 'unhandledRejection'].map((name) => process.listenerCount(name))`,
      [1, 1, 1],
    ),
  },
  {
    name: 'env-write',
    law: 'a write to process.env is seen by its own run and by nobody else',
    fault: `
  process.env.MINE = 'yes'
  process.env.HERD = 'changed'
  ctx.log.info({ event: 'own', env: [process.env.MINE, process.env.HERD, 'MINE' in process.env, Object.keys(process.env).includes('MINE')] }, 'own')`,
    expect: {
      log: [
        { event: 'own', env: ['yes', 'changed', true, true] },
        { event: 'process-touched', kind: 'env' },
      ],
    },
    also: siblingsSee(`[process.env.MINE ?? null, process.env.STATE_DIRECTORY !== undefined]`, [null, true]),
  },
  {
    name: 'env-delete',
    law: 'a deletion from process.env is seen by its own run and by nobody else',
    fault: `
  delete process.env.STATE_DIRECTORY
  ctx.log.info({ event: 'own', gone: process.env.STATE_DIRECTORY === undefined && !('STATE_DIRECTORY' in process.env) }, 'own')`,
    expect: {
      log: [
        { event: 'own', gone: true },
        { event: 'process-touched', kind: 'env' },
      ],
    },
    also: siblingsSee(`process.env.STATE_DIRECTORY !== undefined`, true),
  },
  {
    name: 'env-replaced',
    law: 'process.env = {...} does not reach the others',
    fault: `process.env = { ONLY: 'this' }; ctx.log.info({ event: 'own', only: process.env.ONLY }, 'own')`,
    expect: {
      log: [
        { event: 'own', only: 'this' },
        { event: 'process-touched', kind: 'env' },
      ],
    },
    also: siblingsSee(`process.env.STATE_DIRECTORY !== undefined && process.env.ONLY === undefined`, true),
  },
  {
    name: 'env-run-over',
    law: 'writes to process.env end with the run that made them',
    fault: `
  ctx.log.info({ event: 'own', before: process.env.ONCE ?? null }, 'own')
  process.env.ONCE = 'set'
  throw new Error('again')`,
    config: { env: { GO: '' } },
    expect: { verdict: 'failed', evidence: { message: 'again' } },
    also: async (t, { herd, clerk, row, from }) => {
      const second = herd.mark()
      await clerk.publish(`go.${row.name}`)
      t.match(await herd.line({ worker: row.name, event: 'own' }, second), { before: null })
      t.match(herd.matching({ worker: row.name, event: 'own' }, from)[0], { before: null })
      await herd.untilWorker(row.name, (worker) => worker.failures === 2 && worker.state === 'running')
    },
  },
  {
    name: 'exit-hooks',
    law: `listeners of process 'exit' are named and removed when the run ends`,
    fault: `process.on('exit', () => console.log('exit hook')); return`,
    config: { restart: 'never' },
    expect: {
      verdict: 'done',
      state: 'stopped',
      restarts: 0,
      failures: 0,
      stack: false,
      log: [{ event: 'leftovers', listeners: /process\.on\('exit'\)/ }],
    },
    also: siblingsSee(`process.listeners('exit').some((fn) => String(fn).includes('exit hook'))`, false),
  },
  {
    name: 'replaced-globals',
    law: 'replacing process.exit or setTimeout does not undo the guard of others',
    fault: `
  const saved = [globalThis.setTimeout, globalThis.queueMicrotask]
  globalThis.setTimeout = (fn, ms) => saved[0](fn, ms)
  setTimeout(() => { throw new Error('through mine') }, 1)
  globalThis.setTimeout = saved[0]`,
    expect: { verdict: 'threw-stray', evidence: { message: 'through mine', via: 'setTimeout' } },
  },
  {
    name: 'after-all-of-this',
    law: 'after all of this an error is still caught, charged and survived',
    fault: `setImmediate(() => { throw new Error('one more') })`,
    expect: { verdict: 'threw-stray', evidence: { message: 'one more', via: 'uncaughtException' } },
  },
]

void runRows(t, [...EXITS, ...PROCESS])
