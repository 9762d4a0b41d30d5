// A worker's own handlers receive its uncaught errors first, as in plain Node, in every placement: a handler that continues,
// and an error reporter that sends and exits. In the shared loop they receive no error of another worker.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import {
  host,
  PLACES,
  plainTranscript,
  program,
  siblingRuns,
  SUBJECT,
  transcript,
  UNTOUCHED,
} from './places.ts'

leakGuard(t)

/** Ways to fail that no caller can catch; each calls `fail()` or uses `error`. */
const KINDS: Readonly<Record<string, string>> = {
  timer: `setTimeout(() => fail(), 5)`,
  interval: `const timer = setInterval(() => { clearInterval(timer); fail() }, 5)`,
  immediate: `setImmediate(() => fail())`,
  tick: `process.nextTick(() => fail())`,
  microtask: `queueMicrotask(() => fail())`,
  callback: `stat('/', () => fail())`,
  emitter: `setTimeout(() => new EventEmitter().emit('error', error), 5)`,
  listener: `const emitter = new EventEmitter(); emitter.on('ping', () => fail()); setTimeout(() => emitter.emit('ping'), 5)`,
  promise: `void Promise.reject(error)`,
  async: `void (async () => { await wait(5); fail() })()`,
}
const IMPORTS = `import { EventEmitter } from 'node:events'\nimport { stat } from 'node:fs'`

/** Runs each kind in turn; `handled(text)` ends its turn. */
function eachKind(listen: string): string {
  const kinds = Object.entries(KINDS).map(([name, act]) => `${name}: (error, fail) => { ${act} }`)
  return program(
    IMPORTS,
    `
  const kinds = { ${kinds.join(',\n')} }
  let next
  const handled = (text) => { say(text); next() }
  ${listen}
  for (const [name, act] of Object.entries(kinds)) {
    const error = new Error(name)
    await new Promise((resolve) => { next = resolve; act(error, () => { throw error }) })
  }`,
  )
}

const LISTENERS: readonly (readonly [law: string, listen: string])[] = [
  [
    `a listener of 'uncaughtException' receives every error with its origin, and the program continues`,
    `process.on('uncaughtException', (error, origin) => handled(error.message + ' ' + origin))`,
  ],
  [
    `listeners of 'uncaughtException', 'unhandledRejection' and the monitor are called in Node's order`,
    `process.on('uncaughtExceptionMonitor', (error) => say('monitor ' + error.message))
     process.on('uncaughtException', (error) => say('first ' + error.message))
     process.on('uncaughtException', (error) => handled('second ' + error.message))
     process.on('unhandledRejection', (error) => handled('rejected ' + error.message))`,
  ],
  [
    'a capture callback receives every error instead of the listeners',
    `process.setUncaughtExceptionCaptureCallback((error) => handled('captured ' + error.message))
     process.on('uncaughtException', (error) => say('not captured ' + error.message))`,
  ],
]

for (const [law, listen] of LISTENERS)
  void t.test(law, async (t) => {
    const source = eachKind(listen)
    const plain = await plainTranscript(t, source)
    t.ok(plain.length >= Object.keys(KINDS).length, 'in plain Node the handler receives each error')
    for (const place of PLACES)
      await t.test(place, async (t) => {
        const herd = await host(t, place, source)
        t.same(await transcript(herd), plain)
        if (place !== 'run') t.match(await herd.worker(SUBJECT), UNTOUCHED)
        t.same(await herd.stop(), { code: 0, signal: null })
      })
  })

void t.test('a handler of SIGTERM is called when its worker is stopped, after its signal', async (t) => {
  for (const place of PLACES)
    await t.test(place, async (t) => {
      const source = program(
        '',
        `
  process.on('SIGTERM', (name) => say(name + ' ' + ctx.signal.aborted))
  say('on')`,
      )
      const herd = await host(t, place, source)
      t.same(await transcript(herd), ['on'])
      t.same(await herd.stop(), { code: 0, signal: null })
      t.match(herd.matching({ worker: SUBJECT, event: 'said' }).at(-1), { msg: 'SIGTERM true' })
    })
})

void t.test('a handler of a module stays over restarts, and one of a run ends with the run', async (t) => {
  const source = `
let runs = 0
process.on('SIGUSR2', () => heard.push('module'))
const heard = []
export async function run(ctx) {
  runs++
  process.on('SIGUSR2', () => heard.push('run ' + runs))
  if (runs < 3) throw new Error('again')
  process.kill(process.pid, 'SIGUSR2')
  await new Promise((resolve) => setTimeout(resolve, 20))
  ctx.log.info({ event: 'heard', heard }, 'heard')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
  const herd = await host(t, 'shared', source, {
    restart: 'on-failure',
    backoff: { first: '0s', base: '1ms', factor: 1 },
  })
  t.match(await herd.line({ worker: SUBJECT, event: 'heard' }), { heard: ['module', 'run 3'] })
})

void t.test('a handler of a module that throws fails every run, not only the first', async (t) => {
  const source = `
process.on('unhandledRejection', (error) => { throw error })
export async function run(ctx) {
  void Promise.reject(new Error('rejected'))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`
  const herd = await host(t, 'shared', source, {
    restart: 'on-failure',
    backoff: { first: '0s', base: '1ms', factor: 1 },
    limit: { failures: 3, within: '1m' },
  })
  const worker = await herd.untilWorker(SUBJECT, ({ state }) => state === 'quarantined')
  t.match(worker, { failures: 3, lastExit: { verdict: 'threw-stray', evidence: { message: 'rejected' } } })
  t.same(herd.matching({ worker: SUBJECT, event: 'error-handled' }), [])
})

void t.test(
  'an error that a listener of unhandledRejection throws reaches that of uncaughtException',
  async (t) => {
    const source = program(
      '',
      `
  process.on('uncaughtException', (error, origin) => say(error.message + ' ' + origin))
  process.on('unhandledRejection', (error) => { throw new Error('from ' + error.message) })
  void Promise.reject(new Error('promise'))
  await wait(20)`,
    )
    const plain = await plainTranscript(t, source)
    t.same(plain, ['from promise uncaughtException'])
    for (const place of PLACES) t.same(await transcript(await host(t, place, source)), plain, place)
  },
)

void t.test('a handler of SIGTERM is not called for a run that fails', async (t) => {
  const source = `
process.on('SIGTERM', () => console.log('terminated'))
export async function run() { setImmediate(() => { throw new Error('on purpose') }); await new Promise(() => {}) }`
  const herd = await host(t, 'shared', source)
  await herd.line({ worker: SUBJECT, event: 'exit', verdict: 'threw-stray' })
  await herd.line({ worker: SUBJECT, event: 'transition', to: 'stopped' })
  t.same(herd.matching({ worker: SUBJECT, msg: 'terminated' }), [])
})

void t.test('an async hook of a run that throws outside of every context ends its own worker', async (t) => {
  const source = `
import { createHook } from 'node:async_hooks'
export async function run() {
  const hook = createHook({ destroy() { hook.disable(); throw new Error('in destroy') } }).enable()
  setTimeout(() => {}, 1)
  await new Promise(() => {})
}`
  const herd = await host(t, 'shared', source)
  t.match(await herd.line({ worker: SUBJECT, event: 'exit' }), {
    verdict: 'threw-stray',
    evidence: { message: 'in destroy' },
  })
  t.same(await siblingRuns(herd), UNTOUCHED)
})

void t.test('the callbacks of an async hook cause no work for which Node would call it again', async (t) => {
  const source = `
import { createHook } from 'node:async_hooks'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
// Once a native addon is requested, each entry into the code of a worker is noted.
try { process.dlopen({ exports: {} }, '/no/such/addon.node') } catch {}
export async function run(ctx) {
  let calls = 0
  const count = () => { calls++ }
  const hook = createHook({ init: count, before: count, after: count, destroy: count, promiseResolve: count }).enable()
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await once(connect(server.address().port, '127.0.0.1').resume(), 'close')
  await new Promise((closed) => server.close(closed))
  hook.disable()
  ctx.log.info({ event: 'calls', calls }, 'calls')
}`
  const herd = await host(t, 'shared', source)
  const { calls } = (await herd.line({ worker: SUBJECT, event: 'calls' })) as unknown as { calls: number }
  t.ok(calls > 10 && calls < 1000, `${calls} calls`)
})

void t.test('async hooks of a run end with the run', async (t) => {
  const source = `
import { createHook } from 'node:async_hooks'
let runs = 0
const seen = []
export async function run(ctx) {
  const mine = ++runs
  createHook({ init() { seen.push(mine) } }).enable()
  if (mine < 3) throw new Error('again')
  seen.length = 0
  setTimeout(() => {}, 1)
  ctx.log.info({ event: 'seen', seen: [...new Set(seen)] }, 'seen')
}`
  const herd = await host(t, 'shared', source, {
    restart: 'on-failure',
    backoff: { first: '0s', base: '1ms', factor: 1 },
  })
  t.match(await herd.line({ worker: SUBJECT, event: 'seen' }), { seen: [3] })
})

/** Represents the client of an error tracker: sends uncaught errors, then exits as Node would. */
const REPORTER = `
import { request } from 'node:http'
export function init(project, port) {
  const send = (text) => new Promise((sent) => {
    const call = request({ host: '127.0.0.1', port, method: 'POST', path: '/' + project }, (response) => response.resume().on('end', sent))
    call.on('error', sent)
    call.end(text)
  })
  process.on('uncaughtException', (error, origin) => void send(origin + ' ' + error.message).then(() => process.exit(1)))
  process.on('unhandledRejection', (error) => void send('unhandledRejection ' + error.message))
}
`

/** The report of each kind; after a rejection the program continues. */
function reportOf(kind: string): string {
  return `${kind === 'promise' || kind === 'async' ? 'unhandledRejection' : 'uncaughtException'} ${kind}`
}

function reporting(kind: string): string {
  return program(
    `${IMPORTS}\nimport { init } from '../reporter.mjs'`,
    `
  init(ctx.name, ctx.config.port)
  const error = new Error('${kind}')
  const fail = () => { throw error }
  ${KINDS[kind]}
  if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`,
  )
}

/** A server that represents the tracker, with the reports of each project. */
async function tracker(t: Test): Promise<{ port: number; reports: Map<string, string[]> }> {
  const reports = new Map<string, string[]>()
  const server = createServer((call, response) => {
    const project = String(call.url).slice(1)
    let text = ''
    call.setEncoding('utf8').on('data', (part: string) => (text += part))
    call.on('end', () => {
      reports.set(project, [...(reports.get(project) ?? []), text])
      response.end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, reports }
}

void t.test('an error reporter receives the uncaught errors of its own worker', async (t) => {
  const kinds = Object.keys(KINDS)
  const workers = Object.fromEntries(kinds.map((kind) => [kind, reporting(kind)]))
  const ends = kinds.filter((kind) => reportOf(kind).startsWith('uncaught'))
  const expected = Object.fromEntries(kinds.map((kind) => [kind, [reportOf(kind)]]))
  for (const placement of ['shared', 'thread', 'process'] as const)
    await t.test(placement, async (t) => {
      const { port, reports } = await tracker(t)
      const entry = { placement, restart: 'never' as const, config: { port } }
      const herd = await startHerd(t, {
        workers,
        files: { 'reporter.mjs': REPORTER },
        config: { workers: Object.fromEntries(kinds.map((kind) => [kind, entry])) },
      })
      for (const kind of ends) {
        await herd.line({ worker: kind, event: 'exit' })
        t.match((await herd.worker(kind)).lastExit, { verdict: 'failed', evidence: { code: 1 } }, kind)
      }
      for (const kind of kinds.filter((kind) => !ends.includes(kind)))
        await eventually(
          `the report of ${kind}`,
          () => reports.has(kind) || herd.matching({ worker: kind, event: 'exit' }).length > 0,
        )
      t.same(Object.fromEntries(reports), expected)
    })
  await t.test('run', async (t) => {
    for (const kind of ['timer', 'callback', 'promise']) {
      const { port, reports } = await tracker(t)
      const herd = await startHerd(t, {
        workers: { [kind]: reporting(kind) },
        files: { 'reporter.mjs': REPORTER },
        config: { workers: { [kind]: { restart: 'never', config: { port } } } },
        run: kind,
      })
      if (ends.includes(kind)) t.same(await herd.exit(), { code: 1, signal: null })
      else await eventually('the report', () => reports.has(kind) || herd.ended)
      t.same([...reports], [[kind, [reportOf(kind)]]])
    }
  })
})
