// What a worker's module sets up while it is evaluated outlives the runs and ends when the worker stops; what an imported module
// sets up stays, because other workers import it too.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const WAIT = `if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
const RESTARTS = { restart: 'on-failure', backoff: { first: '0s', base: '1ms', factor: 1 } } as const

/** Ways in which the entry module sets something up that fails while a later run is current. */
const SET_UPS: Readonly<Record<string, string>> = {
  'a timer': `setInterval(() => { if (armed) { armed = false; throw new Error('of the module') } }, 5)`,
  'an emitter': `const emitter = new EventEmitter().on('x', () => { throw new Error('of the module') }); setInterval(() => { if (armed) { armed = false; emitter.emit('x') } }, 5)`,
  'a server': `createServer((socket) => { socket.destroy(); throw new Error('of the module') }).listen(0, '127.0.0.1', function () { port = this.address().port }); setInterval(() => { if (armed) { armed = false; connect(port, '127.0.0.1').on('error', () => {}) } }, 5)`,
  'a promise': `void (async () => { for (;;) { await sleep(5); if (armed) { armed = false; void Promise.reject(new Error('of the module')) } } })()`,
}

for (const [what, setUp] of Object.entries(SET_UPS))
  void t.test(`an error of ${what} of the module is charged to the run that is current`, async (t) => {
    const herd = await startHerd(t, {
      workers: {
        subject: `
import { EventEmitter } from 'node:events'
import { connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
let armed = false, port, runs = 0
${setUp}
export async function run(ctx) {
  if (++runs < 3) throw new Error('run ' + runs)
  if (runs === 3) armed = true
  ${WAIT}
}`,
      },
      config: { workers: { subject: { ...RESTARTS, limit: { failures: 20, within: '5m' } } } },
    })
    t.match(await herd.line({ worker: 'subject', event: 'exit', verdict: 'threw-stray' }), {
      evidence: { message: 'of the module', run: 3 },
    })
    t.match(
      await herd.untilWorker('subject', ({ state, failures }) => state === 'running' && failures === 3),
      { restarts: 3 },
    )
    t.same(herd.matching({ event: 'late-error' }), [])
  })

void t.test(
  'what the module set up ends when the worker stops, and the next start sets it up again',
  async (t) => {
    const herd = await startHerd(t, {
      workers: {
        subject: `
import { createServer } from 'node:http'
import { watch } from 'node:fs'
console.log('evaluated')
createServer().listen('./subject.sock')
setInterval(() => console.log('beat'), 10)
watch('.')
export async function run(ctx) { console.log('run'); ${WAIT} }`,
        sibling: `export async function run(ctx) { ctx.every('20ms', () => console.log('sibling prints')); ${WAIT} }`,
      },
      config: { workers: { subject: { restart: 'never' }, sibling: {} } },
    })
    const beat = { worker: 'subject', msg: 'beat' }
    await herd.line(beat)
    await herd.act('subject', 'restart')
    await herd.line({ worker: 'subject', event: 'transition', to: 'running' }, herd.mark())
    t.equal(
      herd.matching({ worker: 'subject', msg: 'evaluated' }).length,
      1,
      'a restart does not evaluate it',
    )
    t.same(herd.matching({ event: 'leftovers' }), [], 'and closes nothing')
    await herd.act('subject', 'stop')
    t.match(await herd.line({ worker: 'subject', event: 'leftovers' }), {
      timers: ['setInterval(anonymous)'],
      servers: ['Server on "./subject.sock"'],
      handles: ['FSWatcher'],
      msg: /^the worker stopped/,
    })
    const stopped = herd.mark()
    for (let i = 0, at = stopped; i < 5; i++) {
      const line = await herd.line({ worker: 'sibling', msg: 'sibling prints' }, at)
      at = herd.lines.indexOf(line) + 1
    }
    t.same(herd.matching(beat, stopped), [], 'a stopped worker does no more work')
    await herd.act('subject', 'start')
    await herd.line({ worker: 'subject', msg: 'evaluated' }, stopped)
    await herd.line(beat, stopped)
    t.match(await herd.worker('subject'), { state: 'running' })
  },
)

/** Ways to import a module that other workers use as well. */
const IMPORTS: Readonly<
  Record<string, { readonly head?: string; readonly inRun?: string; readonly file: string }>
> = {
  'a static import': { head: `import '../shared.mjs'`, file: 'shared.mjs' },
  'an import in a run': { inRun: `await import('../shared.mjs')`, file: 'shared.mjs' },
  'a require in a run': {
    head: `import { createRequire } from 'node:module'`,
    inRun: `createRequire(import.meta.url)('../shared.cjs')`,
    file: 'shared.cjs',
  },
}

for (const [how, { head = '', inRun = '', file }] of Object.entries(IMPORTS))
  void t.test(`what an imported module sets up stays: ${how}`, async (t) => {
    const require =
      file === 'shared.mjs'
        ? `import { EventEmitter } from 'node:events'; import net from 'node:net'`
        : `const { EventEmitter } = require('node:events'); const net = require('node:net')`
    const herd = await startHerd(t, {
      files: {
        [file]: `${require}
const server = net.createServer().listen('./shared.sock')
setInterval(() => console.log('shared: ' + server.listening), 10)
class Client extends EventEmitter {
  constructor() { super(); process.nextTick(() => this.connect()) }
  connect() { this.socket = net.connect('./shared.sock').on('error', () => {}).on('connect', () => console.log('connected')).on('close', () => setTimeout(() => this.connect(), 5)) }
}
const client = new Client()
let n = 0
server.on('connection', (socket) => { if (n++ < 1) socket.end(); socket.on('error', () => {}) })
`,
      },
      workers: {
        subject: `${head}
let runs = 0
export async function run(ctx) { ${inRun}; console.log('run ' + ++runs); ${WAIT} }`,
      },
      config: { workers: { subject: {} } },
    })
    const shared = { msg: 'shared: true' }
    await herd.line(shared)
    await herd.line({ msg: 'connected' })
    for (let run = 2; run <= 4; run++) {
      await herd.act('subject', 'restart')
      await herd.line({ msg: `run ${run}` })
    }
    await herd.act('subject', 'stop')
    await herd.line({ event: 'transition', to: 'stopped' })
    const from = herd.mark()
    await herd.line(shared, from)
    t.same(herd.matching({ event: 'leftovers' }), [])
    t.same(herd.matching({ kind: 'after-end' }), [])
    t.equal(herd.matching({ msg: 'connected' }).length, 2, 'its client has connected again')
  })

void t.test(
  'a variable that the entry module sets reaches no other worker; one of an imported module does, and is named',
  async (t) => {
    const show = `
import { execFileSync } from 'node:child_process'
export async function run() {
  const seen = execFileSync(process.execPath, ['-p', '[process.env.ENTRY, process.env.IMPORTED, process.env.RUN].join()'], { encoding: 'utf8' })
  console.log('sees ' + [process.env.ENTRY, process.env.IMPORTED, process.env.RUN].join() + ' child ' + seen.trim())
}`
    const herd = await startHerd(t, {
      files: { 'settings.mjs': `process.env.IMPORTED = 'imported'` },
      workers: {
        loud: `import '../settings.mjs'
process.env.ENTRY = 'entry'
${show.replace('run() {', `run() { process.env.RUN = 'run'`)}`,
        other: show,
      },
      config: { workers: { loud: { restart: 'never' }, other: { restart: 'never', after: ['loud'] } } },
    })
    t.match(await herd.line({ worker: 'loud', msg: /^sees/ }), {
      msg: 'sees entry,imported,run child entry,imported,run',
    })
    t.match(await herd.line({ worker: 'other', msg: /^sees/ }), { msg: 'sees ,imported, child ,imported,' })
    t.match(herd.matching({ event: 'process-touched', kind: 'env:IMPORTED' }), [
      { worker: 'loud', msg: /applies to every worker/ },
    ])
  },
)
