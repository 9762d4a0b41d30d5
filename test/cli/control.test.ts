// `byre status` and the control commands run as processes against control servers that record the commands.
import { linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { startControlServer } from '../../src/control/server.ts'
import type { SupervisorStatus, WorkerStatus } from '../../src/herd/status.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import type { CleanResult } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { fakeTarget, memoryLog, supervisorStatus, worker } from '../control/fake-target.ts'
import type { FakeTarget } from '../control/fake-target.ts'
import { socketFolder } from '../control/raw-client.ts'

leakGuard(t)

const bin = join(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')

interface Setup {
  /** $XDG_RUNTIME_DIR of the commands. */
  readonly runtime: string
  readonly cwd: string
  readonly byre: (...args: string[]) => Promise<CleanResult>
  /** Starts the control server of a process of herd `herd`. Returns its target. */
  readonly host: (
    herd: string,
    name: string,
    workers: WorkerStatus[],
    more?: Partial<SupervisorStatus>,
  ) => Promise<FakeTarget>
}

function setUp(t: { teardown(fn: () => unknown): void }, config?: string): Setup {
  const runtime = socketFolder(t)
  const cwd = join(runtime, 'project')
  mkdirSync(cwd)
  if (config !== undefined) writeFileSync(join(cwd, 'byre.config.mjs'), config)
  return {
    runtime,
    cwd,
    byre: (...args) => runCleanNode([bin, ...args], { cwd, env: { XDG_RUNTIME_DIR: runtime } }),
    host: async (herd, name, workers, more = {}) => {
      const target = fakeTarget()
      target.current = supervisorStatus(workers, { herd, group: name, ...more })
      const socketPath = join(runtime, 'byre', herd, `${name}.sock`)
      const server = await startControlServer({ target, socketPath, log: memoryLog() })
      t.teardown(() => server.close())
      return target
    },
  }
}

const shop = "export default { name: 'shop', workers: {} }"

t.test(
  'status shows all processes of the herd in the config, and exits 0 when all workers are healthy',
  async (t) => {
    const { host, byre } = setUp(t, shop)
    await host('shop', 'batch', [worker('mail')])
    await host('shop', 'run-canary', [worker('canary', { state: 'dormant' })])
    await host('other', 'x', [worker('foreign')])
    const { code, stdout, stderr } = await byre('status')
    t.equal(stderr, '')
    t.equal(code, 0)
    t.match(
      stdout,
      /^shop\/batch {2}pid \d+[^]*\n {2}mail +running[^]*\nshop\/run-canary [^]*\n {2}canary +dormant/,
    )
    t.notMatch(stdout, 'foreign')
  },
)

t.test('status --json prints {version, herd, supervisors, unreachable}', async (t) => {
  const { host, byre } = setUp(t, shop)
  const target = await host('shop', 'batch', [worker('mail')])
  const { code, stdout } = await byre('status', '--json')
  t.equal(code, 0)
  t.same(JSON.parse(stdout), { version: 1, herd: 'shop', supervisors: [target.current], unreachable: [] })
})

t.test(
  'status exits 1 when a worker is quarantined, and 4 when some or all processes are unreachable',
  async (t) => {
    const here = setUp(t, shop)
    t.match(await here.byre('status'), {
      code: 4,
      stdout: '',
      stderr: /Cannot find a running supervisor of herd 'shop': no control socket in .*byre supervise/,
    })
    t.match(await here.byre('status', '--json'), { code: 4, stdout: /"supervisors": \[\]/ })
    await here.host('shop', 'batch', [worker('mail')])
    const dead = createServer()
    const folder = join(here.runtime, 'byre', 'shop')
    await new Promise<void>((resolve) => dead.listen(join(folder, 'x'), resolve))
    linkSync(join(folder, 'x'), join(folder, 'gone.sock'))
    await new Promise<void>((resolve) => dead.close(() => resolve()))
    const partly = await here.byre('status')
    t.match(partly, {
      code: 4,
      stdout: /shop\/batch/,
      stderr: /gone.sock': the process that created the socket is gone/,
    })
    const json = JSON.parse((await here.byre('status', '--json')).stdout) as Record<string, unknown>
    t.match(json, {
      unreachable: [{ name: 'gone', code: 'ECONNREFUSED' }],
      supervisors: [{ group: 'batch' }],
    })
    await here.host('shop', 'core', [worker('alarm', { state: 'quarantined', quarantine: 'failed 5 times' })])
    t.match(await here.byre('status'), { code: 1, stdout: /failed 5 times/ })
  },
)

t.test(
  '--group selects a process and --socket a path; when there is none, the error names the existing ones',
  async (t) => {
    const { host, byre, runtime } = setUp(t, shop)
    await host('shop', 'batch', [worker('mail')])
    await host('shop', 'core', [worker('db')])
    const one = await byre('status', '--group', 'core')
    t.match(one, { code: 0, stdout: /shop\/core/ })
    t.notMatch(one.stdout, 'batch')
    t.match(await byre('status', '--group', 'none'), {
      code: 4,
      stderr: /group 'none' of herd 'shop': .* has batch, core/,
    })
    const path = join(runtime, 'byre', 'shop', 'core.sock')
    t.match(await byre('status', '--socket', path), { code: 0, stdout: /shop\/core/ })
    t.match(await byre('status', '--socket', '/nonexistent.sock'), {
      code: 4,
      stderr: /there is no such socket/,
    })
    t.match(await byre('status', '--socket', `/${'x'.repeat(107)}`), { code: 1, stderr: /at most 107 bytes/ })
  },
)

t.test(
  'without a config in the folder the only running herd is used; two running herds are ambiguous',
  async (t) => {
    const { host, byre } = setUp(t)
    await host('shop', 'batch', [worker('mail')])
    t.match(await byre('status'), { code: 0, stdout: /shop\/batch/ })
    await host('farm', 'batch', [worker('mail')])
    t.match(await byre('status'), {
      code: 2,
      stderr: /Cannot determine the herd: .* has farm, shop. Pass --config/,
    })
    t.match(await byre('status', '--config', 'none.js'), { code: 78, stderr: /no such file/ })
  },
)

t.test('only the name in the config is used, so status works while the config is invalid', async (t) => {
  const half = setUp(t, "export default { name: 'shop', workers: { mail: { modul: 'x' } }, nonsense: 1 }")
  await half.host('shop', 'batch', [worker('mail')])
  t.match(await half.byre('status'), { code: 0 })
  const nameless = setUp(t, 'export default {}')
  t.match(await nameless.byre('status'), { code: 78, stderr: /must have a 'name'/ })
  const broken = setUp(t, 'export default {')
  t.match(await broken.byre('status'), { code: 78, stderr: /Cannot load the config/ })
})

t.test('a timer of the config does not delay the end of the command', async (t) => {
  const { host, byre } = setUp(t, `setInterval(() => {}, 1000)\n${shop}`)
  await host('shop', 'batch', [worker('mail')])
  t.match(await byre('status'), { code: 0, stdout: /mail/ })
})

t.test('a control command goes to the process that hosts the worker, and prints its new state', async (t) => {
  const { host, byre } = setUp(t, shop)
  const batch = await host('shop', 'batch', [worker('mail')], { pid: 4711 })
  const core = await host('shop', 'core', [worker('db')])
  for (const action of ['start', 'stop', 'restart', 'wake', 'sleep']) {
    t.match(await byre(action, 'mail'), {
      code: 0,
      stdout: 'mail: stopping (pid 4711, group batch)\n',
      stderr: '',
    })
  }
  await byre('move', 'mail', '--to', 'process')
  await byre('log-level', 'mail', 'debug')
  const by = `cli:${userInfo().username}`
  t.match(batch.commands, [
    ...['start', 'stop', 'restart', 'wake', 'sleep'].map((action) => ({ v: 1, action, by, worker: 'mail' })),
    { action: 'move', args: { to: 'process' } },
    { action: 'log-level', args: { level: 'debug' } },
  ])
  t.same(core.commands, [])
  const json = await byre('stop', 'mail', '--json')
  t.match(JSON.parse(json.stdout), { version: 1, v: 1, ok: true, worker: 'mail', state: 'stopping' })
})

t.test(
  'a refusal goes to stderr and sets the exit code; a warning goes to stderr next to the result',
  async (t) => {
    const { host, byre } = setUp(t, shop)
    const target = await host('shop', 'batch', [worker('mail')])
    const error = { code: 'BYRE_CONTROL_REFUSED', message: "Cannot sleep worker 'mail': it is eager." }
    target.act = ({ id }) => ({ status: 409, body: { v: 1, id, ok: false, error } })
    t.match(await byre('sleep', 'mail'), { code: 1, stdout: '', stderr: `byre: ${error.message}\n` })
    const refused = await byre('sleep', 'mail', '--json')
    t.match(JSON.parse(refused.stdout), { version: 1, ok: false, error })
    t.equal(refused.code, 1)
    const warning = 'its code changed on disk'
    target.act = ({ id }) => ({
      status: 202,
      body: { v: 1, id, ok: true, worker: 'mail', state: 'stopping', warning },
    })
    t.match(await byre('restart', 'mail'), {
      code: 0,
      stdout: /^mail: stopping/,
      stderr: `byre: ${warning}\n`,
    })
  },
)

t.test(
  'an unknown worker exits 4 with the known names; a worker of two processes requires --group',
  async (t) => {
    const { host, byre } = setUp(t, shop)
    const batch = await host('shop', 'batch', [worker('mail'), worker('db')])
    await host('shop', 'run-mail', [worker('mail')])
    t.match(await byre('stop', 'mial'), {
      code: 4,
      stderr: /Cannot find worker 'mial': 2 running supervisors have mail, db, mail/,
    })
    t.match(await byre('stop', 'mail'), {
      code: 2,
      stderr: /groups batch and run-mail both have it. Pass --group/,
    })
    t.same(batch.commands, [])
    t.match(await byre('stop', 'mail', '--group', 'batch'), { code: 0 })
    t.equal(batch.commands.length, 1)
    t.match(await byre('stop', '../../etc', '--group', 'batch'), { code: 4 })
  },
)
