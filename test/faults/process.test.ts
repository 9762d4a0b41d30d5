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
    law: `process.emit('SIGTERM') reaches the worker's own handlers alone`,
    fault: `
  process.on('SIGTERM', (name) => ctx.log.info({ event: 'own', name }, 'own'))
  ctx.log.info({ event: 'emitted', had: process.emit('SIGTERM', 'SIGTERM', 15) }, 'emitted')`,
    expect: {
      log: [
        { event: 'own', name: 'SIGTERM' },
        { event: 'emitted', had: true },
      ],
    },
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
    law: `handlers of signals are the worker's own, and a signal that it sends to itself calls them alone`,
    fault: `
  process.on('SIGTERM', () => {}); process.once('SIGINT', () => {}); process.prependListener('SIGHUP', () => {})
  const sent = new Promise((received) => process.on('SIGUSR2', (name, number) => received([name, number])))
  process.kill(process.pid, 'SIGUSR2')
  ctx.log.info({ event: 'own', counts: ['SIGTERM', 'SIGINT', 'SIGHUP'].map((name) => process.listenerCount(name)), sent: await sent }, 'own')`,
    expect: { log: [{ event: 'own', counts: [1, 1, 1], sent: ['SIGUSR2', 12] }] },
    also: siblingsSee(`process.listenerCount('SIGTERM') + process.listenerCount('SIGUSR2')`, 0),
  },
  {
    name: 'on-uncaught',
    law: `a listener of 'uncaughtException' that throws fails its worker`,
    fault: `
  process.on('uncaughtException', (error) => { throw new Error('again ' + error.message) })
  setImmediate(() => { throw new Error('mine') })`,
    expect: { verdict: 'threw-stray', evidence: { message: 'again mine' } },
  },
  {
    name: 'capture-callback',
    law: "a worker's capture callback gets its own uncaught errors and no others'",
    fault: `
  process.setUncaughtExceptionCaptureCallback((error) => ctx.log.info({ event: 'captured', message: error.message }, 'captured'))
  setImmediate(() => { throw new Error('mine') })
  await wait(20)
  process.setUncaughtExceptionCaptureCallback(null)
  setImmediate(() => { throw new Error('not captured') })`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: 'not captured' },
      log: [{ event: 'captured', message: 'mine' }],
    },
    also: siblingsSee(`process.hasUncaughtExceptionCaptureCallback()`, false),
  },
  {
    name: 'domain',
    law: 'a domain catches what was entered in it, and nothing of the others',
    fault: `
  const { default: domain } = await import('node:domain') // process.setUncaughtExceptionCaptureCallback throws from then on
  const own = domain.create()
  own.on('error', (error) => ctx.log.info({ event: 'in-domain', message: error.message }, 'caught'))
  own.run(() => { setTimeout(() => { throw new Error('entered') }, 1); setImmediate(() => { throw new Error('entered too') }) })
  await wait(20)
  setImmediate(() => { throw new Error('outside') })`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: 'outside' },
      log: [
        { event: 'in-domain', message: 'entered' },
        { event: 'in-domain', message: 'entered too' },
      ],
    },
  },
  {
    name: 'hook-throws',
    law: 'an async hook that throws ends its worker, as it ends a process, and nobody else',
    imports: `import { AsyncResource, createHook } from 'node:async_hooks'`,
    fault: `
  const hook = createHook({ init() { hook.disable(); throw new Error('in a hook') } }).enable()
  new AsyncResource('mine')`,
    expect: { verdict: 'failed', stack: false, evidence: { code: 1 } },
  },
  {
    name: 'umask-same',
    law: 'a umask that is set already, and what is no umask, is as on Node',
    fault: `
  const before = process.umask()
  const same = process.umask(before)
  const text = process.umask(before.toString(8))
  let code
  try { process.umask({}) } catch (error) { code = error.code }
  ctx.log.info({ event: 'own', same: same === before && text === before, code }, 'own')`,
    expect: { log: [{ event: 'own', same: true, code: 'ERR_INVALID_ARG_TYPE' }] },
  },
  {
    name: 'kill-bad',
    law: 'process.kill with a signal that does not exist is refused as on Node',
    fault: `
  const codes = []
  for (const signal of ['SIGNOT', 300, {}])
    try { process.kill(process.pid, signal) } catch (error) { codes.push(error.code) }
  ctx.log.info({ event: 'own', codes }, 'own')`,
    expect: {
      log: [{ event: 'own', codes: ['ERR_UNKNOWN_SIGNAL', 'EINVAL', 'ERR_UNKNOWN_SIGNAL'] }],
    },
  },
  {
    name: 'exit-bad',
    law: 'process.exit with what is no integer is refused as on Node',
    fault: `
  let code
  try { process.exit('now') } catch (error) { code = error.code }
  ctx.log.info({ event: 'own', code }, 'own')`,
    expect: { log: [{ event: 'own', code: 'ERR_INVALID_ARG_TYPE' }] },
  },
  {
    name: 'argv',
    law: 'process.argv is that of the worker',
    fault: `ctx.log.info({ event: 'own', argv: process.argv.slice(1) }, 'own')`,
    expect: { log: [{ event: 'own', argv: [/workers\/argv\.mjs$/] }] },
    also: siblingsSee(`/workers\\/s\\d\\d|clerk/.test(process.argv[1])`, true),
  },
  {
    name: 'env-shown',
    law: 'console.log and util.inspect show the environment',
    imports: `import { inspect } from 'node:util'`,
    fault: `
  process.env.MINE = 'shown'
  ctx.log.info({ event: 'own', both: ['MINE', 'STATE_DIRECTORY'].every((name) => inspect(process.env).includes(name)) }, 'own')`,
    expect: { log: [{ event: 'own', both: true }] },
  },
  {
    name: 'env-as-node',
    law: 'process.env takes descriptors, symbols and other values as on Node',
    fault: `
  const refused = (fn) => { try { return void fn() } catch (error) { return error.code ?? error.constructor.name } }
  process.env.NUMBER = 1
  ctx.log.info({ event: 'own',
    number: process.env.NUMBER,
    accessor: refused(() => Object.defineProperty(process.env, 'X', { get: () => 1 })),
    hidden: refused(() => Object.defineProperty(process.env, 'X', { value: 'x', enumerable: false })),
    symbol: refused(() => { process.env.X = Symbol('x') }),
    key: refused(() => { process.env[Symbol('x')] = 'x' }),
    own: Object.hasOwn(process.env, 'NUMBER') && typeof process.env.hasOwnProperty,
    gone: delete process.env.NUMBER && process.env.NUMBER === undefined,
  }, 'own')`,
    expect: {
      log: [
        {
          event: 'own',
          number: '1',
          accessor: 'ERR_INVALID_OBJECT_DEFINE_PROPERTY',
          hidden: 'ERR_INVALID_OBJECT_DEFINE_PROPERTY',
          symbol: 'TypeError',
          key: 'TypeError',
          own: 'function',
          gone: true,
        },
      ],
    },
  },
  {
    name: 'env-thread',
    law: 'a thread that a worker starts sees the environment of the worker',
    imports: `import { Worker } from 'node:worker_threads'; import { once } from 'node:events'`,
    fault: `
  process.env.MINE = 'passed on'
  const thread = new Worker('require("worker_threads").parentPort.postMessage(process.env.MINE ?? null)', { eval: true })
  const [seen] = await once(thread, 'message')
  await once(thread, 'exit')
  ctx.log.info({ event: 'own', seen, one: thread instanceof Worker }, 'own')`,
    expect: { log: [{ event: 'own', seen: 'passed on', one: true }] },
  },
  {
    name: 'stdout-end',
    law: 'process.stdout.end() ends the output of that worker only',
    fault: `
  await new Promise((resolve) => process.stdout.end('the last line\\n', resolve))
  console.log('not printed, and no error')
  process.stdout.on('error', () => {})
  const refused = await new Promise((resolve) => process.stdout.write('more\\n', resolve))
  process.stderr.destroy()
  ctx.log.info({ event: 'own', refused: refused?.code }, 'own')`,
    expect: {
      log: [
        { stream: 'stdout', msg: 'the last line' },
        { event: 'own', refused: 'ERR_STREAM_WRITE_AFTER_END' },
      ],
    },
    also: async (t, world) => {
      await siblingsSee(`(console.log('still here'), 1)`, 1)(t, world)
      await world.herd.line({ worker: 's01', msg: 'still here' }, world.from)
    },
  },
  {
    name: 'addon',
    law: 'once a native addon is asked for, each turn is noted, and the loop still rests',
    imports: `import { readFileSync } from 'node:fs'; import { performance } from 'node:perf_hooks'`,
    fault: `
  try { process.dlopen({ exports: {} }, '/no/such/addon.node') } catch {}
  const noted = () => JSON.parse(readFileSync(process.env.STATE_DIRECTORY + '/h/_all.breadcrumb', 'utf8')).worker
  const seen = await new Promise((resolve) => setTimeout(() => resolve(noted()), 1))
  const before = performance.eventLoopUtilization()
  await wait(300)
  const { utilization } = performance.eventLoopUtilization(before)
  ctx.log.info({ event: 'own', seen, rests: utilization < 0.8 }, 'own')`,
    expect: { log: [{ event: 'own', seen: 'addon', rests: true }] },
  },
  {
    name: 'cluster',
    law: 'cluster.fork is refused with the remedy',
    imports: `import cluster from 'node:cluster'`,
    fault: `cluster.fork()`,
    expect: {
      verdict: 'failed',
      evidence: { code: 'BYRE_PROCESS_SHARED', message: /fork a cluster.*placement 'process'/ },
      log: [{ event: 'process-touched', kind: 'cluster.fork' }],
    },
  },
  {
    name: 'remove-all',
    law: `process.removeAllListeners() removes only the worker's own`,
    fault: `
  process.on('warning', () => {})
  process.on('SIGTERM', () => {})
  process.removeAllListeners()
  ctx.log.info({ event: 'left', terms: process.listenerCount('SIGTERM'), uncaught: process.listenerCount('uncaughtException') }, 'left')
  setImmediate(() => { throw new Error('still caught') })`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: 'still caught' },
      log: [
        { event: 'left', terms: 0, uncaught: 0 },
        { event: 'process-touched', kind: 'removeAllListeners' },
      ],
    },
  },
  {
    name: 'remove-all-of',
    law: `process.removeAllListeners('SIGTERM') removes only the worker's own`,
    fault: `
  for (const name of ['SIGTERM', 'SIGINT', 'uncaughtException', 'unhandledRejection']) process.removeAllListeners(name)
  setImmediate(() => { throw new Error('still caught') })`,
    expect: { verdict: 'threw-stray', evidence: { message: 'still caught' } },
  },
  {
    name: 'remove-each',
    law: `a worker cannot take byre's handlers off the process one by one`,
    fault: `
  for (const name of ['SIGTERM', 'uncaughtException', 'unhandledRejection'])
    for (const listener of process.rawListeners(name)) { process.off(name, listener); process.removeListener(name, listener) }
  void Promise.reject(new Error('still caught'))`,
    expect: { verdict: 'threw-stray', evidence: { message: 'still caught' } },
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
    law: `listeners of process 'exit' are called and removed when the run ends`,
    fault: `process.on('exit', () => console.log('exit hook')); return`,
    config: { restart: 'never' },
    expect: {
      verdict: 'done',
      state: 'stopped',
      restarts: 0,
      failures: 0,
      stack: false,
      log: [{ msg: 'exit hook' }],
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
    expect: { verdict: 'threw-stray', evidence: { message: 'through mine', via: 'uncaughtException' } },
  },
  {
    name: 'after-all-of-this',
    law: 'after all of this an error is still caught, charged and survived',
    fault: `setImmediate(() => { throw new Error('one more') })`,
    expect: { verdict: 'threw-stray', evidence: { message: 'one more', via: 'uncaughtException' } },
  },
]

void runRows(t, [...EXITS, ...PROCESS])
