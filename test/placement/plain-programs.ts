// Programs for plain.test.ts: each writes what it sees of its world, a line for each thing, to seen.txt beside it.

export interface Program {
  readonly title: string
  readonly file: string
  readonly source: string
  /** False: sees byre's code when that is inside, or what it opened. */
  readonly inside?: false
  /** False: is about what a thread has not. */
  readonly thread?: false
}

/** What they have in common. */
export const TOOLS = `
const { appendFileSync } = require('node:fs')
const { join } = require('node:path')
exports.see = (what, value) => appendFileSync(join(__dirname, 'seen.txt'), what + ' ' + JSON.stringify(value) + '\\n')
exports.ordered = (object) => Object.fromEntries(Object.entries(object).sort())
/** What a program may find out about how it was started. */
exports.world = () => ({
  execArgv: process.execArgv, argv: process.argv, argv0: process.argv0, execPath: process.execPath,
  env: exports.ordered(process.env), cwd: process.cwd(), umask: process.umask(), ppid: process.ppid > 0,
})
exports.once = (emitter, name) => new Promise((resolve) => emitter.once(name, (...args) => resolve(args)))
`
const CJS = `const { see, world, ordered, once } = require('./tools.cjs')\n`
const ESM = `import tools from './tools.cjs'\nconst { see, world, ordered, once } = tools\n`

/** Order of all that waits for a turn; \`main\` is the async id of the program's first lines. */
const ORDER = `
const order = []
const at = (what) => order.push(what)
process.nextTick(() => { at('tick 1'); Promise.resolve().then(() => at('promise in tick')); process.nextTick(() => at('tick in tick')) })
Promise.resolve().then(() => { at('promise 1'); process.nextTick(() => at('tick in promise')); queueMicrotask(() => at('microtask in promise')) })
queueMicrotask(() => at('microtask'))
const timer = () => { at('timer'); Promise.resolve().then(() => at('promise in timer')) }
setImmediate(() => { at('immediate'); process.nextTick(() => at('tick in immediate')); setTimeout(timer, 1) })
;(async () => { at('async 1'); await null; at('async 2'); await null; at('async 3') })()
at('main')
process.on('beforeExit', () => { if (order.at(-1) !== 'beforeExit') at('beforeExit') })
process.on('exit', (code) => see('order', [...order, 'exit ' + code]))
`
const CHILD = `
const { see, world } = require('./tools.cjs')
const { execArgv, env } = world()
const report = ({ title: _, ...seen }) => seen
if (process.send) process.send(report({ execArgv, env, send: true }), () => process.disconnect())
else process.stdout.write(JSON.stringify(report({ execArgv, env })))
`

export const PROGRAMS: readonly Program[] = [
  {
    title: 'command line, environment, folder',
    file: 'world.cjs',
    source: `${CJS}see('world', world())
      see('main', [require.main === module, module.parent, module.id])
      see('cache', Object.keys(require.cache))
      see('listeners', process.eventNames().map(String).sort())
      see('globals', Object.getOwnPropertyNames(globalThis).sort())
      see('process', Object.getOwnPropertyNames(process).sort())`,
  },
  {
    title: 'command line, environment, folder, as an ES module',
    file: 'world.mjs',
    source: `${ESM}see('world', world())
      see('main', [import.meta.main, import.meta.url])
      see('listeners', process.eventNames().map(String).sort())`,
  },
  {
    title: "V8's and node's settings",
    file: 'settings.cjs',
    inside: false, // V8's fatal report is one of the things inside is for
    thread: false, // V8's flags and the report are those of the process
    source: `${CJS}const v8 = require('node:v8')
      const { directory, filename, compact, reportOnFatalError } = process.report
      see('report', [directory, filename, compact, reportOnFatalError])
      see('heap limit', v8.getHeapStatistics().heap_size_limit)
      see('flags', v8.cachedDataVersionTag()) // a hash of V8's version and its flags`,
  },
  {
    title: 'what is open, async ids and handles',
    file: 'open.cjs',
    inside: false, // its wire
    thread: false, // descriptors and the console are the process's
    source: `${CJS}const { executionAsyncId, triggerAsyncId, AsyncResource } = require('node:async_hooks')
      see('ids', [executionAsyncId(), triggerAsyncId(), new AsyncResource('X').asyncId()])
      see('descriptors', require('node:fs').readdirSync('/proc/self/fd').length)
      see('handles', process.getActiveResourcesInfo())
      setTimeout(() => see('later', [executionAsyncId(), triggerAsyncId()]), 1)`,
  },
  { title: 'the order of turns', file: 'order.cjs', source: CJS + ORDER },
  { title: 'the order of turns, as an ES module', file: 'order.mjs', source: ESM + ORDER },
  {
    title: 'the async id of its first lines',
    file: 'ids.cjs',
    source: `${CJS}see('main', require('node:async_hooks').executionAsyncId())`,
  },
  {
    title: 'whose ticks come before its first one',
    file: 'ticks.cjs',
    source: `${CJS}const own = new Set()
      let others = 0
      const init = (id) => own.add(id)
      const before = (id) => { if (!own.has(id)) others++ }
      require('node:async_hooks').createHook({ init, before }).enable()
      process.nextTick(() => see('others', others))`,
  },
  {
    title: 'an error of its first lines reaches its own handler, with its origin',
    file: 'throws.cjs',
    source: `${CJS}process.on('uncaughtExceptionMonitor', (error, origin) => see('monitor', [error.message, origin]))
      process.on('uncaughtException', (error, origin) => see('handler', [error.message, origin]))
      process.on('exit', (code) => see('exit', code))
      setImmediate(() => see('goes on', true))
      throw new Error('at load')`,
  },
  {
    title: 'an error of its first lines that nobody handles ends it',
    file: 'fails.cjs',
    source: `${CJS}process.on('exit', (code) => see('exit', [code, process.exitCode]))
      throw new Error('at load')`,
  },
  {
    title: 'an error of an ES module that nobody handles ends it',
    file: 'fails.mjs',
    source: `${ESM}process.on('uncaughtExceptionMonitor', (error, origin) => see('monitor', [error.message, origin]))
      process.on('exit', (code) => see('exit', code))
      await null
      throw new Error('later')`,
  },
  {
    title: 'a rejection reaches its own handler; a late one is reported as such',
    file: 'rejects.cjs',
    source: `${CJS}process.on('unhandledRejection', (reason) => { see('unhandled', reason.message); setImmediate(() => late.catch(() => {})) })
      process.on('rejectionHandled', () => see('handled', true))
      const late = Promise.reject(new Error('nobody waits'))`,
  },
  {
    title: 'a throw in a timer goes to its domain, one outside to its handler',
    file: 'domain.cjs',
    source: `${CJS}const d = require('node:domain').create()
      d.on('error', (error) => see('domain', error.message))
      process.on('uncaughtException', (error, origin) => see('handler', [error.message, origin]))
      d.run(() => setTimeout(() => { throw new Error('inside') }, 1))
      setTimeout(() => { throw new Error('outside') }, 5)`,
  },
  {
    title: 'its exit listeners, exit code and late work',
    file: 'exits.cjs',
    source: `${CJS}let turns = 0
      process.on('beforeExit', (code) => { see('beforeExit', code); if (turns++ < 2) setTimeout(() => see('late work', turns), 1) })
      process.on('exit', (code) => { see('exit', code); process.exitCode = 7 })
      process.exitCode = 3`,
  },
  {
    title: 'a process that it forks, spawns or puts into a cluster is plain',
    file: 'children.cjs',
    thread: false, // cluster is not for threads
    source: `${CJS}const { fork, spawn, execFileSync } = require('node:child_process')
      const cluster = require('node:cluster')
      require('node:fs').writeFileSync(__dirname + '/child.cjs', ${JSON.stringify(CHILD)})
      const file = __dirname + '/child.cjs'
      const clean = ({ env, ...rest }) => { const { NODE_CHANNEL_FD, NODE_CHANNEL_SERIALIZATION_MODE, NODE_UNIQUE_ID, ...own } = env; return { ...rest, env: ordered(own) } }
      ;(async () => {
        const forked = fork(file)
        see('forked', clean((await once(forked, 'message'))[0]))
        see('forked exit', await once(forked, 'exit'))
        see('spawned', clean(JSON.parse(execFileSync(process.execPath, [...process.execArgv, file]))))
        cluster.setupPrimary({ exec: file })
        const member = cluster.fork()
        see('member', clean((await once(member, 'message'))[0]))
        see('member exit', await once(member, 'exit'))
        see('settings', cluster.settings.execArgv)
      })()`,
  },
  {
    title: 'a thread that it starts is plain',
    file: 'threads.cjs',
    source: `${CJS}const { Worker } = require('node:worker_threads')
      const text = "const { parentPort, resourceLimits, workerData } = require('node:worker_threads'); parentPort.postMessage({ execArgv: process.execArgv, env: { ...process.env }, workerData, cache: Object.keys(require.cache) })"
      new Worker(text, { eval: true }).on('message', ({ env, ...seen }) => see('thread', { ...seen, env: ordered(env) }))`,
  },
  {
    title: 'the data and limits of a thread',
    file: 'thread-data.cjs',
    source: `${CJS}const { isMainThread, workerData, resourceLimits, parentPort } = require('node:worker_threads')
      see('thread', [isMainThread, workerData, resourceLimits, parentPort !== null])`,
  },
]
