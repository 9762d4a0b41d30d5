// `byre supervise` and `byre run` with a real herd: control over sockets, and the refusal of duplicate workers.
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { SupervisorStatus } from '../../src/herd/status.ts'
import { runCleanNode, startCleanNode } from '../helpers/clean-node.ts'
import type { CleanResult, RunningNode } from '../helpers/clean-node.ts'
import { eventually } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { call, rawClient, socketFolder } from '../control/raw-client.ts'

leakGuard(t)

const bin = join(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')
const runtime = socketFolder(t)
const cwd = join(runtime, 'project')
const env = { XDG_RUNTIME_DIR: runtime, XDG_STATE_HOME: join(runtime, 'state') }
const sockets = join(runtime, 'byre', 'shop')
mkdirSync(cwd)
writeFileSync(
  join(cwd, 'worker.js'),
  `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', () => resolve()))`,
)
const worker = { module: './worker.js' }
writeFileSync(
  join(cwd, 'byre.config.json'),
  JSON.stringify({
    name: 'shop',
    workers: {
      mail: worker,
      db: { ...worker, group: 'core' },
      report: { ...worker, activation: { topics: ['report.>'] } },
    },
  }),
)

const byre = (...args: string[]): Promise<CleanResult> => runCleanNode([bin, ...args], { cwd, env })

async function start(t: { teardown(fn: () => unknown): void }, ...args: string[]): Promise<RunningNode> {
  const node = startCleanNode([bin, ...args, '--log-format', 'json'], { cwd, env })
  t.teardown(() => node.kill())
  await Promise.race([
    node.stdout.next('"ready"'),
    node.exit.then(() => {
      throw new Error(`ended: ${[...node.stdout.all, ...node.stderr.all].join('\n')}`)
    }),
  ])
  return node
}

t.test('status, control and events work over the socket, which is removed at the end', async (t) => {
  const node = await start(t, 'supervise')
  t.same(readdirSync(sockets), ['_all.sock'])
  const socket = join(sockets, '_all.sock')
  const { stdout, code } = await byre('status', '--json')
  t.equal(code, 0)
  const [s] = (JSON.parse(stdout) as { supervisors: SupervisorStatus[] }).supervisors
  t.match(s, {
    herd: 'shop',
    group: '_all',
    pid: node.pid,
    workers: [
      { name: 'mail', state: 'running' },
      { name: 'db', state: 'running' },
      { name: 'report', state: 'dormant' },
    ],
  })
  const events = rawClient(socket, 'GET /events HTTP/1.0\r\n\r\n')
  await events.receives(/: byre/)
  t.match(await byre('stop', 'mail'), { code: 0, stdout: /^mail: stop/ })
  await events.receives(/"worker":"mail","from":"running","to":"stopping"/)
  await events.receives(/"worker":"mail","from":"stopping","to":"stopped"/)
  t.match(await byre('start', 'mail'), { code: 0 })
  await events.receives(/"worker":"mail","from":"[a-z]+","to":"running"/)
  t.match(await byre('wake', 'report'), { code: 0 })
  await events.receives(/"worker":"report","from":"[a-z]+","to":"running"/)
  t.match(await byre('log-level', 'report', 'debug'), { code: 0 })
  events.socket.destroy()
  node.child.kill('SIGTERM')
  t.same(await node.exit, { code: 0, signal: null })
  t.same(readdirSync(sockets), [])
  t.match(await byre('status'), { code: 4 })
})

t.test(
  'a second supervisor of a group, and a worker that runs elsewhere, are refused with the pid',
  async (t) => {
    const node = await start(t, 'supervise', '--group', 'core')
    const pid = new RegExp(`pid ${node.pid} `)
    t.match(await byre('supervise', '--group', 'core'), {
      code: 1,
      stderr: /Cannot listen on the control socket .* already does/,
    })
    for (const line of [['supervise'], ['supervise', '--only', 'db'], ['run', 'db']]) {
      const { code, stderr } = await byre(...line)
      t.equal(code, 1, line.join(' '))
      t.match(stderr, /a worker runs once per herd on a host, and 'db' is running in pid/)
      t.match(stderr, pid)
    }
    t.same(readdirSync(sockets), ['core.sock'], 'the refused processes have left no socket')
    const alone = await start(t, 'run', 'mail')
    t.same(readdirSync(sockets), ['core.sock', 'run-mail.sock'])
    t.match(await byre('status'), { code: 0, stdout: /shop\/core [^]*shop\/run-mail / })
    for (const process of [alone, node]) {
      process.child.kill('SIGTERM')
      t.same(await process.exit, { code: 0, signal: null })
    }
  },
)

t.test('a worker that runs under another run directory of this host is refused with the pid', async (t) => {
  const elsewhere = join(runtime, 'other')
  const state = join(runtime, 'state')
  const node = await start(t, 'supervise', '--group', 'core')
  const config = join(cwd, 'byre.config.json')
  const placesOf = (run: string, stateHome: string) => ({ XDG_RUNTIME_DIR: run, XDG_STATE_HOME: stateHome })
  // The RUNTIME_DIRECTORY and STATE_DIRECTORY of a unit differ from those of a shell; also with an equal state directory.
  for (const [places, line] of [
    [placesOf(elsewhere, join(runtime, 'state2')), ['supervise']],
    [placesOf(elsewhere, join(runtime, 'state2')), ['run', 'db']],
    [placesOf(elsewhere, state), ['supervise', '--group', 'core']],
    [
      { RUNTIME_DIRECTORY: elsewhere, STATE_DIRECTORY: join(runtime, 'state3') },
      ['supervise', '--only', 'db'],
    ],
    [placesOf(runtime, state), ['run', 'db', '--socket', join(runtime, 'own.sock')]],
  ] as const) {
    const { code, stderr } = await runCleanNode([bin, ...line], { cwd, env: places })
    t.equal(code, 1, line.join(' '))
    t.match(stderr, new RegExp(`'db' is running in pid ${node.pid} \\(group core\\)`), line.join(' '))
  }
  const crumb = join(state, 'byre', 'shop', 'core.breadcrumb')
  t.match(JSON.parse(readFileSync(crumb, 'utf8')), { pid: node.pid }, 'no other process wrote its files')
  t.match(await runCleanNode([bin, 'stop', 'db', '--config', config], { cwd, env }), { code: 0 })
  const own = placesOf(elsewhere, state)
  const again = await runCleanNode([bin, 'supervise', '--group', 'core'], { cwd, env: own })
  t.match(again, { code: 1, stderr: new RegExp(`pid ${node.pid} .* uses the same state files`) })
  const other = startCleanNode([bin, 'run', 'db', '--log-format', 'json'], { cwd, env: own })
  t.teardown(() => other.kill())
  await other.stdout.next('"ready"')
  t.pass('a worker that is stopped there can run here')
  for (const process of [other, node]) {
    process.child.kill('SIGTERM')
    t.same(await process.exit, { code: 0, signal: null })
  }
})

t.test('a herd with the same name from another config in other directories is allowed', async (t) => {
  const node = await start(t, 'supervise')
  const folder = join(runtime, 'copy')
  cpSync(cwd, folder, { recursive: true })
  const env = { XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }
  const twin = startCleanNode([bin, 'supervise', '--log-format', 'json'], { cwd: folder, env })
  t.teardown(() => twin.kill())
  await twin.stdout.next('"ready"')
  await Promise.all([twin.kill(), node.kill()])
  const next = await start(t, 'supervise')
  t.pass('the mark of a killed process is gone')
  await next.kill()
})

t.test(
  'a herd that is split over processes on the embedded bus logs one warning that the bus is private',
  async (t) => {
    writeFileSync(
      join(cwd, 'split.json'),
      JSON.stringify({
        name: 'split',
        workers: { a: { ...worker, group: 'one' }, b: { ...worker, group: 'two' } },
      }),
    )
    for (const [line, topics] of [
      [['supervise', '--group', 'core'], ['report.>']],
      [['supervise', '--config', 'split.json', '--group', 'one'], undefined],
      [['run', 'b', '--config', 'split.json'], undefined],
      [['supervise', '--config', 'split.json'], 'no warning'],
    ] as const) {
      const node = await start(t, ...line)
      const warnings = node.stdout.all.filter((text) => text.includes('"private-bus"'))
      t.equal(warnings.length, topics === 'no warning' ? 0 : 1, line.join(' '))
      for (const text of warnings) {
        t.match(text, /do not reach other processes of the herd/)
        t.same((JSON.parse(text) as { topics?: string[] }).topics, topics)
      }
      node.child.kill('SIGTERM')
      await node.exit
    }
  },
)

t.test('the next supervisor replaces the socket of a killed one', async (t) => {
  const first = await start(t, 'supervise')
  await first.kill()
  t.same(readdirSync(sockets), ['_all.sock'])
  const second = await start(t, 'supervise')
  t.equal((await call(join(sockets, '_all.sock'), 'GET', '/workers')).json['pid'], second.pid)
  await second.kill()
})

t.test('of two processes that start with the same worker, exactly one continues', async (t) => {
  const lines = [
    ['supervise', '--group', 'core'],
    ['run', 'db'],
  ]
  const nodes = lines.map((line) => startCleanNode([bin, ...line, '--log-format', 'json'], { cwd, env }))
  t.teardown(() => Promise.all(nodes.map((node) => node.kill())))
  const ended = await eventually('one of them to end', () =>
    nodes.find((node) => node.child.exitCode !== null),
  )
  const [stays] = nodes.filter((node) => node !== ended)
  t.equal(ended.child.exitCode, 1)
  await ended.stderr.end()
  t.match(ended.stderr.all.join('\n'), /'db' is [a-z]+ in pid/)
  await stays!.stdout.next('"ready"')
  stays!.child.kill('SIGTERM')
  t.same(await stays!.exit, { code: 0, signal: null })
})
