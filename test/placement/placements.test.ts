// One worker module in every placement: the same ctx, the same ends, and what only a thread or a process can do.
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import type { WorkerConfig } from '../../src/config/types.ts'
import { eventually } from '../helpers/events.ts'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)
t.jobs = 2

const PLACES = ['shared', 'thread', 'process'] as const

/** Answers `ask.<name>` with what its ctx looks like; `do.<name>` does the thing asked for. */
const WORKER = `
let runs = 0
const resource = { key: 'r', create: () => ({ made: 1 }), dispose: (value) => { value.made = 0 } }
export async function run(ctx) {
  runs++
  const shared = await ctx.use(resource)
  let ticks = 0
  ctx.every(10, () => { ticks++ })
  console.log('from the console of ' + ctx.name)
  ctx.log.child({ part: 'x' }).info({ n: 1 }, 'logged')
  const asks = (async () => {
    for await (const m of ctx.bus.subscribe('ask.' + ctx.name)) {
      while (ticks === 0) await new Promise((r) => setTimeout(r, 5))
      await m.reply({
        name: ctx.name, config: ctx.config, wake: ctx.wake.by, own: ctx.env.OWN, frozen: Object.isFrozen(ctx.env),
        aborted: ctx.signal.aborted, made: shared.made, runs, pid: process.pid, keys: Object.keys(ctx).sort(), type: m.type,
      })
    }
  })()
  for await (const { payload } of ctx.bus.subscribe('do.' + ctx.name)) await eval(payload)
  await asks
  ctx.log.info({ reason: ctx.signal.reason?.kind, is: ctx.signal.reason?.name }, 'stopping')
}
`
/** Publishes and asks on behalf of the test, told through its control file. */
const TELLER = `
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { rmSync } from 'node:fs'
export async function run(ctx) {
  rmSync(ctx.config, { force: true })
  const server = createServer(async (socket) => {
    socket.on('error', () => {})
    for await (const line of createInterface(socket)) {
      const { op, topic, payload, times = 1 } = JSON.parse(line)
      let answer = null
      try {
        if (op === 'request') answer = await ctx.bus.request(topic, payload, { type: 'q' })
        else for (let i = 0; i < times; i++) await ctx.bus.publish(topic, times === 1 ? payload : i)
      } catch (error) { answer = { error: error.code } }
      socket.write(JSON.stringify(answer) + '\\n')
    }
  })
  await new Promise((resolve) => server.listen(ctx.config, resolve))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  server.close()
}
`
async function tell(herd: Herd, question: object): Promise<unknown> {
  const socket = connect(`${herd.folder}/t.sock`)
  await once(socket, 'connect')
  socket.write(`${JSON.stringify(question)}\n`)
  let text = ''
  for await (const chunk of socket.setEncoding('utf8')) {
    text += String(chunk)
    if (text.endsWith('\n')) break
  }
  socket.destroy()
  return JSON.parse(text)
}

async function host(
  t: Test,
  workers: Record<string, string>,
  config: (folder: string) => Record<string, WorkerConfig>,
): Promise<Herd> {
  const folder = herdFolder(t)
  return startHerd(t, {
    folder,
    workers: { ...workers, teller: TELLER },
    config: { workers: { teller: { config: `${folder}/t.sock` }, ...config(folder) } },
  })
}

t.test('the same module with the same ctx in every placement', async (t) => {
  const names = PLACES.map((place) => `w-${place}`)
  const herd = await host(t, Object.fromEntries(names.map((name) => [name, WORKER])), () =>
    Object.fromEntries(
      PLACES.map((placement) => [
        `w-${placement}`,
        { placement, config: { place: placement }, env: { OWN: 'mine' }, memoryMax: '64MiB' },
      ]),
    ),
  )
  const seen: Record<string, unknown>[] = []
  for (const placement of PLACES) {
    const name = `w-${placement}`
    const answer = (await tell(herd, { op: 'request', topic: `ask.${name}`, payload: 1 })) as Record<
      string,
      unknown
    >
    t.match(answer, { name, config: { place: placement }, wake: 'start', own: 'mine', made: 1, type: 'q' })
    seen.push(answer)
    await herd.line({ worker: name, msg: `from the console of ${name}`, stream: 'stdout' })
    await herd.line({ worker: name, part: 'x', n: 1, msg: 'logged', level: 30 })
    // a thread reports its id after its first messages
    const status = await herd.untilWorker(name, (w) => placement !== 'thread' || w.tid !== undefined)
    t.match(status, { placement, state: 'running' })
    for (const figure of ['ms', 'rssBytes'] as const)
      t.not(status.load?.[figure] ?? status.load?.unavailable?.[figure], undefined, 'a figure or its reason')
    t.equal(status.pid === herd.pid, placement !== 'process')
    if (placement === 'thread') t.ok(Number(status.tid) > 0 && status.tid !== herd.pid)
    t.equal(answer['pid'], status.pid)
  }
  for (const answer of seen) t.same(answer['keys'], seen[0]?.['keys'], 'nothing tells them apart')

  await t.test('a restart is a new process, a new thread, or a new run', async (t) => {
    for (const [placement, runs] of [
      ['shared', 2],
      ['thread', 1],
      ['process', 1],
    ] as const) {
      const name = `w-${placement}`
      const before = await herd.worker(name)
      const from = herd.mark()
      await herd.act(name, 'restart')
      const after = await herd.untilWorker(name, (w) => w.restarts === 1 && w.state === 'running')
      t.match(await herd.line({ worker: name, msg: 'stopping' }, from), {
        reason: 'restart',
        is: 'AbortError',
      })
      t.match(await tell(herd, { op: 'request', topic: `ask.${name}`, payload: 1 }), { runs, wake: 'manual' })
      if (placement === 'process') t.not(after.pid, before.pid)
      if (placement === 'thread') t.not(after.tid, before.tid)
    }
  })

  await t.test('the log level reaches every placement', async (t) => {
    for (const name of names) {
      t.equal((await herd.act(name, 'log-level', { args: { level: 'debug' } })).status, 202)
      const from = herd.mark()
      await tell(herd, {
        topic: `do.${name}`,
        payload: `ctx.log.debug({ now: 1 }, 'heard'); ctx.log.trace('no')`,
      })
      t.ok(await herd.line({ worker: name, msg: 'heard', level: 20 }, from))
      t.same(herd.matching({ worker: name, msg: 'no' }), [])
    }
  })
  t.same(await herd.stop(), { code: 0, signal: null })
  for (const name of names)
    t.ok(herd.matching({ worker: name, msg: 'stopping' }).length > 0, `${name} ended in order`)
})

const DEAF = `
export async function run(ctx) {
  if (ctx.config === 'spin') setTimeout(() => { for (;;); }, 50)
  await new Promise(() => {})
}`

t.test(
  'a thread or process that ignores its signal is ended at its stopTimeout, never unstopped',
  async (t) => {
    const config = (placement: 'thread' | 'process', config: string): WorkerConfig => ({
      placement,
      config,
      stopTimeout: '300ms',
    })
    const herd = await host(t, { tw: DEAF, pw: DEAF, ts: DEAF, ps: DEAF }, () => ({
      tw: config('thread', 'wait'),
      pw: config('process', 'wait'),
      // An endless loop cannot hear anything: not the abort, not SIGTERM.
      ts: config('thread', 'spin'),
      ps: config('process', 'spin'),
    }))
    for (const name of ['tw', 'pw', 'ts', 'ps']) {
      const { pid } = await herd.worker(name)
      await herd.act(name, 'stop')
      const { lastExit } = await herd.untilWorker(name, (w) => w.state === 'stopped')
      t.equal(lastExit?.verdict, 'stopped', name)
      if (name !== 'pw') t.match(lastExit, { evidence: { killed: true, stopTimeoutMs: 300 } })
      if (name.startsWith('p'))
        await eventually(`the end of ${pid}`, () => {
          try {
            return readFileSync(`/proc/${pid}/stat`, 'utf8') === ''
          } catch {
            return true
          }
        })
    }
    t.same(await herd.stop(), { code: 0, signal: null })
    t.same(herd.matching({ event: 'unstopped' }), [])
  },
)

const OOM = `const a = []; for (;;) a.push(new Array(1000).fill(Math.random()))`

t.test('how a process or thread ended is told with its evidence, and nobody else notices', async (t) => {
  const herd = await host(t, { p: WORKER, t: WORKER, healthy: WORKER }, () => ({
    p: { placement: 'process', memoryMax: '32MiB', restart: 'on-failure', backoff: { base: '50ms' } },
    t: { placement: 'thread' },
    healthy: {},
  }))
  const cases: [name: string, does: string, verdict: string, reason: RegExp, evidence: object][] = [
    ['p', OOM, 'oom-heap', /V8 heap out of memory.*limit 32 MiB/, { signal: 'SIGABRT' }],
    [
      'p',
      `process.kill(process.pid, 0); process.reallyExit(7)`,
      'failed',
      /process\.reallyExit\(7\)|process\.exit\(7\)/,
      { code: 7 },
    ],
    ['p', `process.abort()`, 'failed', /^it called process\.abort\(\)$/, { code: 134 }],
    ['p', `process.exit(3)`, 'failed', /^it called process\.exit\(3\)$/, { code: 3, stack: /p\.mjs/ }],
    [
      'p',
      `process.kill(process.pid, 'SIGKILL')`,
      'failed',
      /^it called process\.kill\(\d+, SIGKILL\)$/,
      { code: 137 },
    ],
    ['t', `process.exit(4)`, 'failed', /process\.exit\(4\)/, { code: 4 }],
    [
      't',
      `setTimeout(() => { throw new TypeError('late') }, 1)`,
      'threw-stray',
      /late/,
      { type: 'TypeError' },
    ],
  ]
  for (const [name, does, verdict, reason, evidence] of cases) {
    const { failures } = await herd.worker(name)
    await tell(herd, { topic: `do.${name}`, payload: does })
    const { lastExit } = await herd.untilWorker(
      name,
      (w) => w.failures === failures + 1 && w.state === 'running',
    )
    t.match({ ...lastExit }, { verdict, reason, evidence }, does)
    if (lastExit?.verdict !== 'oom-heap') await herd.act(name, 'restart') // a clean slate for the limit
    await herd.untilWorker(name, (w) => w.state === 'running')
  }
  await t.test('killed by somebody', async (t) => {
    const { pid, failures } = await herd.worker('p')
    process.kill(Number(pid), 'SIGKILL')
    const { lastExit } = await herd.untilWorker(
      'p',
      (w) => w.failures === failures + 1 && w.state === 'running',
    )
    t.match(lastExit, { verdict: 'killed', reason: /SIGKILL/, evidence: { signal: 'SIGKILL' } })
  })
  t.match(await herd.worker('healthy'), { restarts: 0, failures: 0, state: 'running' })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('what cannot be started says why', async (t) => {
  const herd = await host(
    t,
    { nowhere: WORKER, broken: `${WORKER}\nthrow new RangeError('at load')` },
    (folder) => ({
      nowhere: { placement: 'process', cwd: folder, restart: 'never' },
      broken: { placement: 'process', restart: 'never' },
    }),
  )
  t.match(await herd.untilWorker('broken', (w) => w.state !== 'loading'), {
    lastExit: { verdict: 'launch-failed', evidence: { type: 'RangeError', message: 'at load' } },
  })
  t.same(await herd.stop(), { code: 0, signal: null })
})

const SCRIPT = `
console.log('script', require.main === module, process.argv.slice(2).join(), process.env.OWN, typeof process.send)
process.on('SIGTERM', () => { console.log('asked'); process.exit(0) })
if (process.argv[2] === 'fail') { console.error('no luck'); process.exit(9) }
setInterval(() => {}, 1000)
`

t.test('an unmodified script runs in a process and in a thread', async (t) => {
  const folder = herdFolder(t)
  const entry = (more: WorkerConfig): WorkerConfig => ({ script: './s.cjs', env: { OWN: 'x' }, ...more })
  const herd = await startHerd(t, {
    folder,
    files: { 's.cjs': SCRIPT },
    config: {
      workers: {
        p: { ...entry({ placement: 'process', args: ['a', 'b'] }), module: undefined } as never,
        f: {
          ...entry({ placement: 'process', args: ['fail'], restart: 'never' }),
          module: undefined,
        } as never,
        t: { ...entry({ placement: 'thread' }), module: undefined } as never,
      },
    },
  })
  await herd.line({ worker: 'p', msg: 'script true a,b x undefined' })
  await herd.line({ worker: 't', msg: 'script true  x undefined' })
  await herd.line({ worker: 'f', msg: 'no luck', stream: 'stderr' })
  t.match(await herd.untilWorker('f', (w) => w.state === 'stopped'), {
    lastExit: { verdict: 'failed', reason: /ended with code 9/, evidence: { code: 9, stderr: /no luck/ } },
  })
  t.same(await herd.stop(), { code: 0, signal: null })
  t.ok(await herd.line({ worker: 'p', msg: 'asked' }), 'a script is asked with SIGTERM')
})

t.test('kept messages are handed over, and what was left unread comes back', async (t) => {
  const take = (n: number): string => `
    export async function run(ctx) {
      const jobs = []
      for await (const m of ctx.bus.subscribe('job.' + ctx.name, { signal: ctx.signal })) {
        jobs.push(m.payload)
        if (jobs.length === ${n}) return void ctx.log.info({ jobs }, 'took')
      }
    }`
  const herd = await host(t, { p: take(5), t: take(5) }, () => ({
    p: { placement: 'process', activation: { topics: ['job.p'] } },
    t: { placement: 'thread', activation: { topics: ['job.t'] } },
  }))
  for (const name of ['p', 't']) {
    await tell(herd, { topic: `job.${name}`, times: 10 })
    await herd.line({ worker: name, msg: 'took', jobs: (jobs: number[]) => jobs.includes(9) })
    t.same(
      herd.matching({ worker: name, msg: 'took' }).flatMap((line) => line['jobs']),
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
      `${name}: each once, in order, over several runs`,
    )
  }
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('a process ends when its supervisor is killed', async (t) => {
  const herd = await host(t, { p: WORKER }, () => ({ p: { placement: 'process' } }))
  const { pid } = await herd.worker('p')
  await herd.kill()
  await eventually(`the end of ${pid}`, () => {
    try {
      process.kill(Number(pid), 0)
      return undefined
    } catch {
      return true
    }
  })
})
