// Programs that start processes: child_process.fork works in every place. node:cluster, which starts the running program
// again, works for a script in a process and is refused with a reason elsewhere.
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import type { Placement, WorkerConfig } from '../../src/config/types.ts'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
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

/** A pool that forks job processes, like those of queue libraries. `work(say)` says what a child and a thread answered. */
const POOL = `
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
export async function work(say) {
  const child = fork(new URL('./child.mjs', import.meta.url), ['of the pool'])
  const exited = once(child, 'exit')
  child.send('job 1')
  const [answer] = await Promise.race([once(child, 'message'), exited.then(([code]) => ['exited with ' + code + ' before it answered'])])
  say('fork: ' + JSON.stringify(answer))
  const [code] = await exited
  say('fork exited with ' + code)
  const thread = new Worker(new URL('./thread.mjs', import.meta.url))
  say('thread: ' + (await once(thread, 'message'))[0])
}
`
const POOL_FILES = {
  'pool.mjs': POOL,
  'child.mjs': `process.on('message', (job) => process.send({ job, args: process.argv.slice(2) }, () => process.exit(3)))`,
  'thread.mjs': `import { parentPort } from 'node:worker_threads'\nparentPort.postMessage('is fine')`,
}
const POOL_SAYS = ['fork: {"job":"job 1","args":["of the pool"]}', 'fork exited with 3', 'thread: is fine']

void t.test('a module that forks a child and starts a thread receives their answers', async (t) => {
  const source = program(`import { work } from '../pool.mjs'`, `await work(say)`)
  for (const place of PLACES)
    await t.test(place, async (t) => {
      const herd = await host(t, place, source, {}, { files: POOL_FILES })
      t.same(await transcript(herd), POOL_SAYS)
      t.same(await herd.stop(), { code: 0, signal: null })
    })
})

async function hostScript(t: Test, placement: Placement, files: Record<string, string>): Promise<Herd> {
  const script = { script: './script.mjs', placement, module: undefined, restart: 'never' }
  return startHerd(t, { files, config: { workers: { [SUBJECT]: script as unknown as WorkerConfig } } })
}

/** What plain Node passes on to a child of a script; a script in a process passes on nothing of byre. */
const INHERITED = `
console.log('argv: ' + JSON.stringify(process.execArgv))
console.log('options: ' + process.env.NODE_OPTIONS)
`

void t.test('a script that forks a child and starts a thread receives their answers', async (t) => {
  const script = `${INHERITED}\nimport { work } from './pool.mjs'\nawait work(console.log)\nsetInterval(() => {}, 1e6)`
  for (const placement of ['thread', 'process'] as const)
    await t.test(placement, async (t) => {
      const herd = await hostScript(t, placement, { ...POOL_FILES, 'script.mjs': script })
      for (const msg of POOL_SAYS) await herd.line({ worker: SUBJECT, stream: 'stdout', msg })
      if (placement === 'process')
        for (const msg of ['argv: []', 'options: undefined'])
          t.ok(await herd.line({ worker: SUBJECT, msg }, 0, 2000))
      t.same(await herd.stop(), { code: 0, signal: null })
    })
})

/** A typical start file that uses all cores. */
const CLUSTER = `
import cluster from 'node:cluster'
import { createServer, get } from 'node:http'
if (cluster.isPrimary) {
  const pids = []
  cluster.on('listening', (worker, { port }) => {
    pids.push(worker.process.pid)
    if (pids.length < 2) return
    get({ port, host: '127.0.0.1', agent: false }, async (response) => {
      let text = ''
      for await (const part of response) text += part
      console.log('cluster ' + JSON.stringify({ pids, answered: pids.includes(Number(text)) }))
    })
  })
  cluster.on('exit', (_, code) => console.log('a cluster worker died: ' + code))
  for (let i = 0; i < 2; i++) cluster.fork()
} else createServer((_, response) => response.end(String(process.pid))).listen(0, '127.0.0.1')
`

void t.test('a script in a process that forks itself with node:cluster serves requests', async (t) => {
  const herd = await hostScript(t, 'process', { 'script.mjs': CLUSTER })
  const line = await herd.line({ worker: SUBJECT, msg: /^cluster / })
  const { pids, answered } = JSON.parse(String(line['msg']).slice('cluster '.length)) as {
    pids: number[]
    answered: boolean
  }
  t.equal(answered, true, 'a request was answered by a worker of the cluster')
  t.same(herd.matching({ msg: /died/ }), [])
  t.same(await herd.stop(), { code: 0, signal: null })
  for (const pid of pids) await eventually(`the end of ${pid}`, () => !isAlive(pid))
})

function isAlive(pid: number): boolean {
  return /^State:\t[^Z]/m.test(readProc(`${pid}/status`))
}

/** Child processes that run Node, of all threads: the kernel lists a child under the thread that started it. */
function nodesOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readProc(`${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  )
  return children.filter((child) => readProc(`${child}/cmdline`).split('\0')[0] === process.execPath)
}

/** '' when the process or thread has ended. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, 'utf8')
  } catch {
    return ''
  }
}

/** Says the result of a fork; in plain Node it starts a worker of the cluster. */
const FORKS = program(
  `import cluster from 'node:cluster'`,
  `
  try {
    const worker = cluster.fork()
    say('forked')
    worker.on('error', () => {})
    if (ctx.config.plain) worker.process.kill('SIGKILL')
  } catch (error) {
    say(error.code + ': ' + error.message)
  }`,
)

void t.test('node:cluster in a module is refused with the reason, and no process is started', async (t) => {
  t.same(await plainTranscript(t, FORKS, { plain: true }), ['forked'], 'plain Node')
  for (const place of PLACES)
    await t.test(place, async (t) => {
      const herd = await host(t, place, FORKS)
      const [said] = await transcript(herd)
      for (const part of [/^BYRE_\w+: Cannot /, /cluster/, /'subject'/, /script/]) t.match(said, part)
      t.ok(await herd.line({ worker: SUBJECT, event: 'process-touched', kind: /cluster/ }, 0, 2000))
      const own = place === 'process' ? Number((await herd.worker(SUBJECT)).pid) : undefined
      t.same(nodesOf(herd.pid), own === undefined ? [] : [own], 'byre has no Node process except the worker')
      t.same(own === undefined ? [] : nodesOf(own), [], 'the worker has none')
      if (place !== 'run') t.same(await siblingRuns(herd), UNTOUCHED)
      t.same(await herd.stop(), { code: 0, signal: null })
    })
})
