// A load that fails leaves no copy of its module running, in any placement: what the entry module set up while it was
// evaluated is closed and named before it is loaded again. What the modules that it imports set up stays.
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { HerdConfig } from '../../src/config/types.ts'
import { eventually } from '../helpers/events.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const PLACEMENTS = ['shared', 'thread', 'process'] as const
const RUN = `(ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
/** Notes each 5 ms in the file `name.alive` of `folder` that it is there. */
const noting = (folder: string, name: string, what = '1'): string =>
  `setInterval(function alive() { fs.appendFileSync(${JSON.stringify(join(folder, `${name}.alive`))}, String(${what}) + '\\n') }, 5)`
const sibling = (folder: string): string => `
import fs from 'node:fs'
${noting(folder, 'sibling')}
export const run = ${RUN}`
/** Of a module that is not to go on: each copy that does is seen by a number of its own. */
const alive = (folder: string, name: string): string =>
  `const copy = Math.random(); console.log('evaluated ' + copy); ${noting(folder, name, 'copy')}`

/** A package whose client connects a moment later and again whenever it lost its connection, as those of brokers do. */
const CLIENT = {
  'node_modules/client/package.json': `{ "main": "index.js" }`,
  'node_modules/client/index.js': `
const { EventEmitter } = require('node:events')
const net = require('node:net')
exports.Client = class extends EventEmitter {
  constructor(path) {
    super()
    this.path = path
    process.nextTick(() => this.connect())
  }
  connect() {
    this.socket = net.connect(this.path).on('error', () => {}).on('close', () => setTimeout(() => this.connect(), 5))
    this.socket.write('hello')
  }
}`,
}

/** The notes of `name` so far. */
function notes(herd: Herd, name: string): string[] {
  const file = join(herd.folder, `${name}.alive`)
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
}

/** Resolves when the sibling has made `count` notes more. */
async function whileSiblingNotes(herd: Herd, count: number): Promise<void> {
  const before = notes(herd, 'sibling').length
  await eventually('notes of the sibling', async () => notes(herd, 'sibling').length >= before + count)
}

/** Copies of `name` that are there while the sibling makes 20 notes. */
async function copiesOf(herd: Herd, name: string): Promise<string[]> {
  const before = notes(herd, name).length
  await whileSiblingNotes(herd, 20)
  return [...new Set(notes(herd, name).slice(before))]
}

async function isUntouched(t: Test, herd: Herd): Promise<void> {
  t.match(await herd.worker('sibling'), { state: 'running', wakes: 1, failures: 0 })
  t.same(await herd.stop(), { code: 0, signal: null })
  t.same(herd.matching({ event: /^(unattributed|internal-error)$/ }), [])
}

for (const placement of PLACEMENTS) {
  const inPlacement = {
    defaults: { placement },
    workers: { sibling: { placement: 'shared' } },
  } as const satisfies Partial<HerdConfig>

  t.test(`${placement}: a queue worker without run`, async (t) => {
    const folder = herdFolder(t)
    const connections = new Set<Socket>()
    let connected = 0
    const broker = createServer((socket) => {
      connected++
      connections.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => connections.delete(socket))
        .resume()
    }).listen(join(folder, 'broker.sock'))
    t.teardown(() => broker.close())
    await once(broker, 'listening')
    const herd = await startHerd(t, {
      folder,
      workers: { sibling: sibling(folder) },
      files: {
        ...CLIENT,
        'workers/queue.cjs': `
const { Client } = require('client')
const fs = require('node:fs')
const { createServer } = require('node:http')
const { spawn } = require('node:child_process')
new Client(${JSON.stringify(join(folder, 'broker.sock'))})
createServer().listen(${JSON.stringify(join(folder, 'queue.sock'))})
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
console.log('child ' + child.pid)
process.on('SIGTERM', function atEnd() {})
exports.start = 1
${alive(folder, 'queue')}`,
      },
      config: {
        ...inPlacement,
        workers: { ...inPlacement.workers, queue: { module: './workers/queue.cjs' } },
      },
    })
    t.match(await herd.untilWorker('queue', ({ state }) => state === 'quarantined'), { failures: 1 })
    const { msg } = await herd.line({ worker: 'queue', msg: /^child/ })
    const closed = await herd.line({ worker: 'queue', event: 'leftovers', timers: Array.isArray })
    t.match(closed, {
      timers: ['setInterval(alive)'],
      listeners: ["process.on('SIGTERM')"],
      servers: [/^Server on .*queue\.sock/],
    })
    t.ok(await herd.line({ event: 'leftovers', children: [`node (pid ${String(msg).slice(6)})`] }), 'named')
    t.same(await copiesOf(herd, 'queue'), [], 'it does not go on')
    t.equal(connections.size, 0, 'its connection is closed')
    t.ok(connected <= 1, 'and it does not connect again')
    t.equal(herd.matching({ worker: 'queue', msg: /^evaluated/ }).length, 1, 'it was evaluated once')
    await isUntouched(t, herd)
  })

  t.test(`${placement}: an ES module without run is not even evaluated`, async (t) => {
    const folder = herdFolder(t)
    const idle = `import fs from 'node:fs'\n${alive(folder, 'idle')}\nexport const go = 1`
    const herd = await startHerd(t, {
      folder,
      config: inPlacement,
      workers: { sibling: sibling(folder), idle },
    })
    await herd.untilWorker('idle', ({ state }) => state === 'quarantined')
    await whileSiblingNotes(herd, 5)
    t.same(notes(herd, 'idle'), [])
    t.same(herd.matching({ worker: 'idle', msg: /^evaluated/ }), [])
    await isUntouched(t, herd)
  })

  t.test(`${placement}: a module that comes up at the third attempt`, async (t) => {
    const folder = herdFolder(t)
    const attempts = JSON.stringify(join(folder, 'attempts'))
    const herd = await startHerd(t, {
      folder,
      config: inPlacement,
      workers: {
        sibling: sibling(folder),
        // In a thread or process each attempt begins anew: their number is kept in a file.
        late: `
import fs from 'node:fs'
import { createServer } from 'node:net'
import { Client } from 'client'
${alive(folder, 'late')}
new Client('/no/such.sock')
const server = createServer().listen(${JSON.stringify(join(folder, 'late.sock'))})
await new Promise((resolve, reject) => server.on('listening', resolve).on('error', reject))
fs.appendFileSync(${attempts}, '.')
if (fs.readFileSync(${attempts}).length < 3) throw new Error('not yet')
console.log('up ' + copy)
export const run = ${RUN}`,
      },
      files: CLIENT,
    })
    t.match(await herd.untilWorker('late', ({ state }) => state === 'running'), { restarts: 2, failures: 2 })
    const named = herd.matching({
      worker: 'late',
      event: 'leftovers',
      timers: /alive/,
      servers: /late\.sock/,
    })
    t.equal(named.length, 2, 'each copy that failed is named')
    const { msg } = await herd.line({ worker: 'late', msg: /^up/ })
    t.same(await copiesOf(herd, 'late'), [String(msg).slice(3)], 'the third copy goes on, and no other')
    await isUntouched(t, herd)
  })

  t.test(`${placement}: a module that hangs while it loads`, async (t) => {
    const folder = herdFolder(t)
    const hangs = `import fs from 'node:fs'\n${alive(folder, 'hangs')}\nawait new Promise(() => {})\nexport const run = ${RUN}`
    const limited = { startTimeout: '200ms', limit: { failures: 1, within: '1m' } }
    const herd = await startHerd(t, {
      folder,
      config: { ...inPlacement, workers: { ...inPlacement.workers, hangs: limited } },
      workers: { sibling: sibling(folder), hangs },
    })
    await herd.untilWorker('hangs', ({ state }) => state === 'quarantined')
    if (placement === 'shared') t.not(notes(herd, 'hangs').length, 0, 'it was there')
    t.same(await copiesOf(herd, 'hangs'), [])
    await isUntouched(t, herd)
  })
}

t.test('a load that fails when its worker is stopped already leaves nothing either', async (t) => {
  const folder = herdFolder(t)
  const gate = join(folder, 'gate')
  const herd = await startHerd(t, {
    folder,
    workers: {
      sibling: sibling(folder),
      slow: `
import fs from 'node:fs'
${alive(folder, 'slow')}
while (!fs.existsSync(${JSON.stringify(gate)})) await new Promise((resolve) => setTimeout(resolve, 5))
throw new Error('in the end')
export const run = ${RUN}`,
    },
    config: { workers: { slow: { activation: { topics: ['go'] } } } },
  })
  await herd.act('slow', 'wake')
  await herd.line({ worker: 'slow', msg: /^evaluated/ })
  await herd.act('slow', 'stop')
  writeFileSync(gate, '')
  t.match(await herd.line({ worker: 'slow', event: 'leftovers' }), { timers: ['setInterval(alive)'] })
  t.same(await copiesOf(herd, 'slow'), [])
  await isUntouched(t, herd)
})

t.test('what a module that it imports set up stays, for the workers that import it as well', async (t) => {
  const folder = herdFolder(t)
  const file = JSON.stringify(join(folder, 'clock.json'))
  const herd = await startHerd(t, {
    folder,
    workers: {
      fails: `
import '../lib/clock.mjs'
import fs from 'node:fs'
${alive(folder, 'fails')}
await import('../lib/later.mjs')
await new Promise((resolve) => setTimeout(resolve, 20))
throw new Error('after that')
export const run = ${RUN}`,
      sibling: `
import { clock } from '../lib/clock.mjs'
import '../lib/later.mjs'
${sibling(folder)}
setInterval(() => fs.writeFileSync(${file} + '.new', JSON.stringify(clock)) || fs.renameSync(${file} + '.new', ${file}), 5)`,
    },
    files: {
      // Sets up at once, later in a callback, and on an emitter that it did not make.
      'lib/clock.mjs': `
import { emitter } from './emitter.mjs'
export const clock = { atOnce: 0, inCallback: 0, heard: 0, importedLater: 0 }
setInterval(() => { clock.atOnce++; emitter.emit('tick') }, 5)
setTimeout(() => setInterval(() => clock.inCallback++, 5), 1)
emitter.on('tick', () => clock.heard++)`,
      'lib/emitter.mjs': `import { EventEmitter } from 'node:events'\nexport const emitter = new EventEmitter()`,
      // Imported by the code of the entry, and not by its import declarations.
      'lib/later.mjs': `
import { clock } from './clock.mjs'
setTimeout(() => setInterval(() => clock.importedLater++, 5), 1)`,
    },
    config: {
      workers: { fails: { limit: { failures: 1, within: '1m' } }, sibling: { after: ['fails'] } },
    },
  })
  t.match((await herd.worker('fails')).lastExit, { verdict: 'launch-failed', reason: /after that/ })
  t.match(await herd.line({ worker: 'fails', event: 'leftovers' }), {
    timers: ['setInterval(alive)'],
    listeners: [],
  })
  const read = (): Record<string, number> => JSON.parse(readFileSync(JSON.parse(file) as string, 'utf8'))
  await whileSiblingNotes(herd, 5)
  const before = read()
  await whileSiblingNotes(herd, 20)
  const after = read()
  for (const name of ['atOnce', 'inCallback', 'heard', 'importedLater'])
    t.ok(after[name]! > before[name]!, `${name} goes on: ${before[name]}, ${after[name]}`)
  t.same(await copiesOf(herd, 'fails'), [])
  await isUntouched(t, herd)
})
