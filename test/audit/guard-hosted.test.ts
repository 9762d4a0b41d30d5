// `byre run` under the guard: imports before ready are checked, imports after ready are not.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode, startCleanNode } from '../helpers/clean-node.ts'
import { writeProgram } from './fixtures.ts'

// Children run in parallel with those of other tests, on few cores; memory does not depend on the load.
t.setTimeout(600_000)

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../src')

t.test('a hosted worker is guarded until it is ready', async (t) => {
  const cwd = writeProgram(t.testdir({}), {
    'package.json': '{"type":"module"}',
    'node_modules/orm/package.json': '{"name":"orm","main":"i.js"}',
    'node_modules/orm/i.js': 'exports.d = 1',
    'byre.config.json': JSON.stringify({
      name: 'guarded',
      workers: {
        early: { module: './early.js', limit: { failures: 1, within: '1m' } },
        late: { module: './late.js' },
      },
    }),
    'early.js': `import 'orm'; export const run = async () => { console.log('early ran') }`,
    'late.js': `import { setTimeout } from 'node:timers/promises'
export const run = async () => { while (globalThis[Symbol.for('byre.guard')].lifted !== true) await setTimeout(5); const { default: m } = await import('orm'); console.log('late has', m.d); process.exit(0) }`,
    // The supervisor decides when the worker is ready; the worker waits for that.
    'watch.mjs': `const g = globalThis[Symbol.for('byre.guard')]; const ready = g.ready; g.ready = () => { ready(); g.lifted = true }`,
  })
  writeFileSync(
    join(cwd, 'byre.floor.json'),
    JSON.stringify({ version: 1, entries: { herd: { allow: {}, may: [], deny: ['orm'], budgets: {} } } }),
  )
  // A socket path has at most 107 bytes.
  const runtime = mkdtempSync(join(tmpdir(), 'byre-'))
  t.teardown(() => rmSync(runtime, { recursive: true, force: true }))
  const run = (worker: string) =>
    runCleanNode(
      [
        '--no-warnings',
        '--import',
        join(root, 'guard.js'),
        '--import',
        join(cwd, 'watch.mjs'),
        join(root, 'bin.js'),
        'run',
        worker,
      ],
      {
        cwd,
        env: {
          BYRE_GUARD: 'byre.floor.json',
          BYRE_GUARD_ENTRY: 'herd',
          XDG_RUNTIME_DIR: runtime,
          XDG_STATE_HOME: cwd,
          HOME: cwd,
        },
      },
    )
  const late = await run('late')
  t.match(late.stdout, /late has 1/, late.stderr)
  const early = await run('early')
  t.notMatch(early.stdout, 'early ran')
  t.match(early.stdout + early.stderr, /Cannot load 'orm' before ready: it is denied for 'herd'/)
})

t.test('a worker in a thread or process is guarded until that worker is ready', async (t) => {
  for (const placement of ['thread', 'process']) {
    const cwd = mkdtempSync(join(tmpdir(), 'byre-'))
    t.teardown(() => rmSync(cwd, { recursive: true, force: true }))
    writeProgram(cwd, {
      'package.json': '{"type":"module"}',
      'node_modules/orm/package.json': '{"name":"orm","main":"i.js"}',
      'node_modules/orm/i.js': 'exports.d = 1',
      'byre.floor.json': JSON.stringify({
        version: 1,
        entries: { herd: { allow: {}, may: [], deny: ['orm'], budgets: {} } },
      }),
      'byre.config.json': JSON.stringify({
        name: 'guarded',
        workers: {
          early: { module: './early.js', placement, after: ['late'], limit: { failures: 1, within: '1m' } },
          late: { module: './late.js', placement, ready: 'call' },
        },
      }),
      'early.js': `import 'orm'; export const run = async () => { console.log('early ran') }`,
      'late.js': `export const run = async (ctx) => {
  const before = await import('orm').then(() => 'passed', (e) => e.code)
  ctx.ready()
  const { default: m } = await import('orm?later')
  console.log('late', before, m.d)
}`.replace("'orm?later'", "new URL('./node_modules/orm/i.js?later', import.meta.url)"),
    })
    const herd = startCleanNode(
      ['--no-warnings', '--import', join(root, 'guard.js'), join(root, 'bin.js'), 'supervise'],
      {
        cwd,
        env: {
          BYRE_GUARD: 'byre.floor.json',
          BYRE_GUARD_ENTRY: 'herd',
          XDG_RUNTIME_DIR: cwd,
          XDG_STATE_HOME: cwd,
          HOME: cwd,
        },
      },
    )
    t.teardown(() => herd.kill())
    await herd.stdout.next('late BYRE_AUDIT_GUARD 1')
    await herd.stdout.next(/"worker":"early".*Cannot load 'orm' before ready/)
    process.kill(herd.pid, 'SIGTERM')
    t.same(await herd.exit, { code: 0, signal: null }, placement)
    t.notMatch(herd.stdout.all.join('\n'), 'early ran')
  }
})
