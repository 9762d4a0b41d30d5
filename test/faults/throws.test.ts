// Shared fate: errors a running worker throws, wherever it throws them.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { runRows } from './rows.ts'
import type { Expected, Fault } from './rows.ts'

leakGuard(t)

/** A stray throw of an Error, restarted alone. */
function stray(via: string | RegExp, message: string, more: Partial<Expected> = {}): Expected {
  return {
    verdict: 'threw-stray',
    evidence: { type: 'Error', message, via },
    log: [{ event: 'exit', verdict: 'threw-stray', level: 50 }],
    ...more,
  }
}

const uncaught = 'uncaughtException'
const rejection = 'unhandledRejection'

const ROWS: readonly Fault[] = [
  {
    name: 'rejects',
    law: 'a rejected run is a failure of its worker',
    fault: `throw new TypeError('no such row')`,
    expect: {
      verdict: 'failed',
      reason: /run\(\) rejected: TypeError: no such row/,
      evidence: { type: 'TypeError', message: 'no such row' },
      log: [{ event: 'exit', verdict: 'failed', level: 50 }],
    },
  },
  {
    name: 'rejects-with-code',
    law: 'the code and the causes of an error are part of its evidence',
    fault: `throw Object.assign(new Error('outer', { cause: new RangeError('inner') }), { code: 'E_OUTER' })`,
    expect: { verdict: 'failed', evidence: { code: 'E_OUTER', causes: /RangeError: inner/ } },
  },
  {
    name: 'throws-at-once',
    law: 'a run that throws before it returns a promise is a failure of its worker',
    wake: true,
    source: `
import { stopped } from '../lib/go.mjs'
let runs = 0
export function run(ctx) {
  if (runs++ === 0) throw new RangeError('at once')
  return stopped(ctx)
}`,
    expect: { verdict: 'failed', evidence: { type: 'RangeError', message: 'at once' } },
    elsewhere: 'module state does not outlive the run there',
  },
  {
    name: 'timeout-with-code',
    law: 'a stray error that carries a code is a failure, not an exit',
    fault: `
  ctx.signal.addEventListener('abort', () => ctx.log.info({ event: 'why', kind: ctx.signal.reason.kind }))
  setTimeout(() => { throw Object.assign(new Error('reset'), { code: 'ECONNRESET' }) }, 1)`,
    expect: stray('uncaughtException', 'reset', { log: [{ event: 'why', kind: 'failed' }] }),
  },
  {
    name: 'timeout',
    law: 'a throw in setTimeout is charged to the worker that set it',
    fault: `setTimeout(() => { throw new Error('late') }, 1)`,
    expect: stray('uncaughtException', 'late', { reason: /late/ }),
  },
  {
    name: 'timeout-twin',
    law: 'of two workers with one module, the one whose code threw is charged',
    config: { module: './workers/timeout.mjs' },
    expect: {
      verdict: 'threw-stray',
      stack: false,
      evidence: { message: 'late', stack: /workers\/timeout\.mjs/ },
    },
  },
  {
    name: 'thenable',
    law: 'a thenable that run returns is called as the worker',
    wake: true,
    elsewhere: 'module state does not outlive the run there',
    source: `
import { stopped } from '../lib/go.mjs'
let runs = 0
export function run(ctx) {
  if (runs++ > 0) return stopped(ctx)
  return { then() { setTimeout(() => { throw new Error('in then') }, 1) } }
}`,
    config: { stopTimeout: '100ms' },
    expect: stray('uncaughtException', 'in then', { reason: /unstopped/ }),
  },
  {
    name: 'hostile-thenable',
    law: 'a run may return an object whose then throws when read',
    wake: true,
    elsewhere: 'module state does not outlive the run there',
    source: `
import { stopped } from '../lib/go.mjs'
let runs = 0
export const run = (ctx) => runs++ > 0 ? stopped(ctx) : { get then() { throw new Error('no then') } }`,
    expect: { verdict: 'failed', evidence: { message: 'no then' } },
  },
  {
    name: 'interval',
    law: 'a throw in setInterval is charged to the worker that set it, and the interval ends with the run',
    fault: `setInterval(() => { throw new Error('again') }, 1)`,
    expect: stray('uncaughtException', 'again'),
  },
  {
    name: 'node-timers',
    law: 'a throw in a timer imported from node:timers is charged to the worker that set it',
    imports: `import { setTimeout as later } from 'node:timers'`,
    fault: `later(() => { throw new Error('imported') }, 1)`,
    expect: stray('uncaughtException', 'imported'),
  },
  {
    name: 'timers-promises',
    law: 'a throw in a loop over timers/promises is charged to the worker that runs it',
    imports: `import { setInterval as ticks } from 'node:timers/promises'`,
    fault: `void (async () => { for await (const _ of ticks(1)) throw new Error('tick') })()`,
    expect: stray(rejection, 'tick'),
  },
  {
    name: 'promisified',
    law: 'a throw after a promisified setTimeout is charged to the worker that set it',
    imports: `import { promisify } from 'node:util'`,
    fault: `void promisify(setTimeout)(1, 'v').then((v) => { throw new Error('promisified ' + v) })`,
    expect: stray(rejection, 'promisified v'),
  },
  {
    name: 'immediate',
    law: 'a throw in setImmediate is charged to the worker that set it',
    fault: `setImmediate(() => { throw new Error('soon') })`,
    expect: stray(uncaught, 'soon'),
  },
  {
    name: 'next-tick',
    law: 'a throw in process.nextTick is charged to the worker that asked for it',
    fault: `process.nextTick(() => { throw new Error('tick') })`,
    expect: stray(uncaught, 'tick'),
  },
  {
    name: 'microtask',
    law: 'a throw in queueMicrotask is charged to the worker that queued it',
    fault: `queueMicrotask(() => { throw new Error('micro') })`,
    expect: stray('uncaughtException', 'micro'),
  },
  {
    name: 'microtask-no-stack',
    law: 'a throw without a stack in queueMicrotask is charged all the same',
    fault: `queueMicrotask(() => { throw 'bare' })`,
    expect: { verdict: 'threw-stray', evidence: { type: 'string', message: 'bare' }, stack: false },
  },
  {
    name: 'fs-callback',
    law: 'a throw in a callback of node:fs is charged to the worker that passed it',
    imports: `import { readFile } from 'node:fs'`,
    fault: `readFile('/etc/hostname', () => { throw new Error('read') })`,
    expect: stray(uncaught, 'read'),
  },
  {
    name: 'pool-callback',
    law: 'a throw in a callback of the thread pool is charged to the worker that passed it',
    imports: `import { gzip } from 'node:zlib'\nimport { randomBytes } from 'node:crypto'`,
    fault: `gzip('x', () => { throw new Error('zip') })`,
    expect: stray(uncaught, 'zip'),
  },
  {
    name: 'dns-callback',
    law: 'a throw in a callback of node:dns is charged to the worker that passed it',
    imports: `import { lookup } from 'node:dns'`,
    fault: `lookup('127.0.0.1', () => { throw new Error('looked up') })`,
    expect: stray(uncaught, 'looked up'),
  },
  {
    name: 'socket',
    law: 'a throw in a socket listener is charged to the worker that owns the socket',
    imports: `import { connect, createServer } from 'node:net'`,
    fault: `
  const server = createServer((peer) => peer.end('x')).listen(0, '127.0.0.1', () => {
    connect(server.address().port, '127.0.0.1').on('data', () => { server.close(); throw new Error('data') })
  })`,
    expect: stray(/./, 'data'),
  },
  {
    name: 'http-handler',
    law: 'a throw in an HTTP handler is charged to the worker that serves it',
    imports: `import { createServer, get } from 'node:http'`,
    fault: `
  const server = createServer(() => { server.close(); server.closeAllConnections(); throw new Error('handler') })
  server.listen(0, '127.0.0.1', () => get({ port: server.address().port, agent: false }).on('error', () => {}))`,
    expect: stray(/./, 'handler'),
  },
  {
    name: 'child-exit',
    law: 'a throw at the end of a child process is charged to the worker that started it',
    imports: `import { execFile } from 'node:child_process'`,
    fault: `execFile('/bin/true', () => { throw new Error('child') })`,
    expect: stray(/./, 'child'),
  },
  {
    name: 'message-port',
    law: 'a throw in a MessagePort listener is charged to the worker that owns the port',
    fault: `
  const { port1, port2 } = new MessageChannel()
  port2.onmessage = () => { port2.close(); throw new Error('port') }
  port1.postMessage(1)`,
    expect: stray(uncaught, 'port'),
  },
  {
    name: 'unheard-error',
    law: `an 'error' event nobody listens for is charged to the worker that emitted it`,
    imports: `import { EventEmitter } from 'node:events'`,
    fault: `setImmediate(() => new EventEmitter().emit('error', new Error('unheard')))`,
    expect: stray(uncaught, 'unheard'),
  },
  {
    name: 'connect-refused',
    law: 'an error of a socket without a listener is charged to the worker that opened it',
    imports: `import { connect } from 'node:net'`,
    fault: `connect('/nowhere/at-all.sock')`,
    expect: {
      verdict: 'threw-stray',
      evidence: { message: /ENOENT/, code: 'ENOENT', via: uncaught },
      stack: false,
    },
  },
  {
    name: 'every',
    law: 'a throw in ctx.every fails the worker',
    fault: `ctx.every(10, () => { throw new Error('beat') })`,
    expect: stray('ctx.every', 'beat'),
  },
  {
    name: 'every-async',
    law: 'a rejection in ctx.every fails the worker',
    fault: `ctx.every('10ms', async () => { await wait(1); throw new Error('slow beat') })`,
    expect: stray('ctx.every', 'slow beat'),
  },
  {
    name: 'new-promise',
    law: 'an unhandled rejection of a new promise is charged to the worker that made it',
    fault: `new Promise((_, reject) => reject(new Error('made')))`,
    expect: stray(rejection, 'made'),
  },
  {
    name: 'rejected-later',
    law: 'a promise rejected later from a timer is charged to the worker that made it',
    fault: `new Promise((_, reject) => setTimeout(reject, 1, new Error('later')))`,
    expect: stray(rejection, 'later'),
  },
  {
    name: 'not-awaited',
    law: 'an async function that nobody awaits is charged to the worker that called it',
    fault: `void (async () => { await wait(1); throw new Error('forgotten') })()`,
    expect: stray(rejection, 'forgotten'),
  },
  {
    name: 'then-chain',
    law: 'a throw in a chain of then is charged to the worker that chained it',
    fault: `void Promise.resolve().then(() => wait(1)).then(() => { throw new Error('chained') }).finally(() => {})`,
    expect: stray(rejection, 'chained'),
  },
  {
    name: 'in-iterator',
    law: 'a throw while reading the bus, not awaited, is charged to the reader',
    fault: `
  const read = async () => { for await (const m of ctx.bus.subscribe('in.bus')) throw new Error('read ' + m.payload) }
  void read()
  await ctx.bus.publish('in.bus', 1)`,
    expect: stray(rejection, 'read 1'),
  },
  {
    name: 'twice',
    law: 'the first of several errors is the verdict; the others are told, not counted',
    fault: `for (const n of [1, 2, 3]) setTimeout(() => { throw new Error('number ' + n) }, n)`,
    expect: stray('uncaughtException', 'number 1'),
  },
  {
    name: 'after-its-end',
    law: 'an error after the run has ended is told as late and charged to nobody',
    imports: `import { readFile } from 'node:fs'`,
    fault: `readFile('/etc/hostname', () => setImmediate(() => setImmediate(() => { throw new Error('too late') })))
  return`,
    config: { restart: 'never' },
    expect: {
      verdict: 'done',
      state: 'stopped',
      restarts: 0,
      failures: 0,
      stack: false,
      log: [{ event: 'late-error', message: 'too late' }],
    },
    // The end of the run is the end of its process: nothing is left to throw.
    elsewhere: { log: [] },
  },
  {
    name: 'stackless',
    law: 'with Error.stackTraceLimit = 0 an error still finds its worker by context',
    fault: `
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  const error = new Error('no frames')
  Error.stackTraceLimit = limit
  setImmediate(() => { throw error })`,
    expect: stray(uncaught, 'no frames', { stack: false }),
  },
  {
    name: 'prepared',
    law: 'an Error.prepareStackTrace that throws does not hide whose error it was',
    fault: `
  const error = new Error('prepared')
  Error.prepareStackTrace = () => { throw new Error('prepare') }
  try { void error.stack } catch {}
  Error.prepareStackTrace = undefined
  setImmediate(() => { throw error })`,
    expect: stray(uncaught, 'prepared', { stack: false }),
  },
  {
    name: 'forged',
    law: `a stack that claims to be byre's own code is not believed: the herd goes on`,
    fault: `
  const error = new Error('forged')
  error.stack = 'Error: forged\\n    at settle (' + ctx.config.own + ':1:1)\\n    at file://' + ctx.config.own + ':2:2'
  setImmediate(() => { throw error })`,
    config: { config: { own: new URL('../../src/herd/runner.js', import.meta.url).pathname } },
    expect: stray(uncaught, 'forged', { stack: false }),
  },
  {
    name: 'misuse',
    law: `misuse of ctx that surfaces as an unhandled rejection is the worker's error, not byre's`,
    fault: `void ctx.bus.publish(undefined, 1)`,
    expect: { verdict: 'threw-stray', evidence: { via: rejection }, stack: false },
  },
  {
    name: 'misuse-later',
    law: `a TypeError inside byre that a worker's argument provokes is the worker's error`,
    fault: `setImmediate(() => ctx.every('1s', null, { get jitter() { throw new TypeError('jitter') } }))`,
    expect: { verdict: 'threw-stray', evidence: { type: 'TypeError', message: 'jitter' } },
  },
]

void runRows(t, ROWS)
