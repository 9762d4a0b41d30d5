// Programs that start processes and threads of their own find them as under plain node: a pool that forks its jobs in every
// placement, the usual "one process for each core" of node:cluster as a script in a process.
import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import t from 'tap'
import { within } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const POOL = `
import { fork } from 'node:child_process'
import { Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import { once } from 'node:events'
export async function work(say) {
  const child = fork(fileURLToPath(new URL('./job.mjs', import.meta.url)))
  child.send('job 1')
  const died = once(child, 'exit').then(([code]) => ['the child ended with ' + code + ' before it answered'])
  say('fork: ' + JSON.stringify((await Promise.race([once(child, 'message'), died]))[0]))
  const thread = new Worker(new URL('./thread.mjs', import.meta.url))
  const failed = once(thread, 'error').then(([error]) => ['the thread failed: ' + error.message])
  say('thread: ' + (await Promise.race([once(thread, 'message'), failed]))[0])
}`
const FILES = {
  'pool.mjs': POOL,
  'job.mjs': `process.on('message', (m) => process.send({ echo: m, execArgv: process.execArgv }, () => process.exit(0)))`,
  'thread.mjs': `import { parentPort } from 'node:worker_threads'
    parentPort.postMessage('fine ' + JSON.stringify(process.execArgv))`,
  'script.mjs': `import { work } from './pool.mjs'\nawait work(console.log); setInterval(() => {}, 1e6)`,
  'module.mjs': `import { work } from './pool.mjs'
    export async function run(ctx) { await work(console.log); await new Promise((r) => ctx.signal.addEventListener('abort', r)) }`,
}

t.test('what a worker forks, and threads it starts, get nothing of byre', async (t) => {
  const module = { module: './module.mjs' }
  const script = { script: './script.mjs', module: undefined }
  const workers = {
    moduleShared: module,
    moduleThread: { ...module, placement: 'thread' },
    moduleProcess: { ...module, placement: 'process' },
    scriptThread: { ...script, placement: 'thread' },
    scriptProcess: { ...script, placement: 'process' },
    scriptInside: { ...script, placement: 'process', inside: true },
  }
  const herd = await startHerd(t, { files: FILES, config: { workers: workers as never } })
  for (const worker of Object.keys(workers)) {
    t.ok(await herd.line({ worker, msg: 'fork: {"echo":"job 1","execArgv":[]}' }), worker)
    t.ok(await herd.line({ worker, msg: 'thread: fine []' }), worker)
  }
  t.same(await herd.stop(), { code: 0, signal: null })
})

const CLUSTER = `
const cluster = require('node:cluster')
const { createServer } = require('node:http')
const { writeFileSync } = require('node:fs')
if (cluster.isPrimary) {
  for (let i = 0; i < 2; i++) cluster.fork()
  let listening = 0
  cluster.on('listening', (_, { port }) => { if (++listening === 2) { writeFileSync('port', String(port)); console.log('listening') } })
  cluster.on('exit', (member, code) => console.log('a member ended with ' + code))
  process.on('SIGTERM', () => cluster.disconnect(() => process.exit(0)))
} else createServer((_, answer) => answer.end(String(process.pid))).listen(0, '127.0.0.1')`

t.test('a script in a process forks itself by cluster, and its members serve', async (t) => {
  const herd = await startHerd(t, {
    files: { 'web.cjs': CLUSTER },
    config: {
      workers: { web: { script: './web.cjs', module: undefined, placement: 'process' } as never },
    },
  })
  await herd.line({ worker: 'web', msg: 'listening' })
  const port = Number(readFileSync(join(herd.folder, 'port'), 'utf8'))
  const members = new Set([await get(port), await get(port)])
  const { pid } = await herd.worker('web')
  t.notOk(members.has(String(pid)), 'a member answers')
  t.equal(members.size, 2, 'each of them in turn')
  t.same(await herd.stop(), { code: 0, signal: null })
  t.same(herd.matching({ worker: 'web', msg: /a member ended with [^0]/ }), [])
})

function get(port: number): Promise<string> {
  const answered = new Promise<string>((resolve, reject) => {
    request({ port, host: '127.0.0.1', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve(text))
    })
      .on('error', reject)
      .end()
  })
  return within(answered, `an answer on port ${port}`)
}

const BY_PATH = `
const { execFileSync } = require('node:child_process')
const { writeFileSync } = require('node:fs')
writeFileSync('/dev/stdout', 'by path\\n')
execFileSync('/bin/sh', ['-c', 'echo by a shell > /dev/stderr'], { stdio: 'inherit' })`

t.test('stdout and stderr of a process can be opened by path', async (t) => {
  const herd = await startHerd(t, {
    files: {
      's.cjs': BY_PATH,
      'm.mjs': `export async function run() { (await import('./s.cjs')) }`,
    },
    config: {
      workers: {
        script: { script: './s.cjs', module: undefined, placement: 'process', restart: 'never' } as never,
        module: { module: './m.mjs', placement: 'process', restart: 'never' },
      },
    },
  })
  for (const worker of ['script', 'module']) {
    t.ok(await herd.line({ worker, stream: 'stdout', msg: 'by path' }))
    t.ok(await herd.line({ worker, stream: 'stderr', msg: 'by a shell' }))
    t.match((await herd.untilWorker(worker, (w) => w.state === 'stopped')).lastExit, { verdict: 'done' })
  }
  t.same(await herd.stop(), { code: 0, signal: null })
})
