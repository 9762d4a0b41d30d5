// The guard in real programs: ESM and CommonJS, threads, caught errors, after ready. Also on another runtime when
// BYRE_TEST_NODE names one.
import { writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createImportChecker, guardRules } from '../../src/audit/guard-rules.ts'
import { emptyFloorEntry, emptyFloorFile } from '../../src/audit/floor-file.ts'
import { runCleanNode, type CleanResult } from '../helpers/clean-node.ts'
import { writeProgram } from './fixtures.ts'

// Children run in parallel with those of other tests, on few cores; memory does not depend on the load.
t.setTimeout(600_000)

const guard = resolve(dirname(fileURLToPath(import.meta.url)), '../../src/guard.js')
const node = process.env['BYRE_TEST_NODE'] ?? process.execPath
const ready = `import { markReady } from ${JSON.stringify(guard)}; markReady();`
const files: Record<string, string> = {
  'node_modules/orm/package.json': '{"name":"orm","main":"i.js"}',
  'node_modules/orm/i.js': `require('./inner.js'); exports.d = 1; exports.b = 2`,
  'node_modules/orm/inner.js': '',
  'node_modules/light/package.json': '{"name":"light","main":"i.js"}',
  'node_modules/light/i.js': 'exports.l = 1',
  'esm.mjs': `import './mid.mjs'; console.log('ran')`,
  'mid.mjs': `import 'light'; import { d } from 'orm'; export { d }`,
  'cjs.cjs': `require('./mid.cjs'); console.log('ran')`,
  'mid.cjs': `require('light'); require('orm')`,
  'dynamic.mjs': `await import('orm'); console.log('ran')`,
  'swallow.cjs': `try { require('orm') } catch {} console.log('ran')`,
  'late.mjs': `${ready} const { d } = await import('orm'); console.log('ran', d)`,
  'late.cjs': `globalThis[Symbol.for('byre.guard')].ready(); require('orm'); console.log('ran')`,
  'thread.mjs': `import { Worker } from 'node:worker_threads'; import { once } from 'node:events';
const w = new Worker(new URL('./mid.mjs', import.meta.url)); const [e] = await once(w, 'error'); console.log(e.code, e.message)`,
  'allowed.mjs': `import 'orm'; console.log('ran')`,
  'other.mjs': '',
}
const cwd = writeProgram(t.testdir({}), files)
const block = (more: object): object => ({ ...emptyFloorEntry(), ...more })
const entries: Record<string, object> = Object.fromEntries(
  Object.keys(files)
    .filter((f) => /^\w+\.[mc]js$/.test(f))
    .map((f) => [f, block({ deny: ['orm'] })]),
)
entries['allowed.mjs'] = block({ allow: { orm: 'load' } })
entries['other.mjs'] = block({ allow: {} })
writeFileSync(join(cwd, 'byre.floor.json'), JSON.stringify({ version: 1, entries }))

const run = (entry: string, env: Record<string, string> = {}, flag = '--import'): Promise<CleanResult> =>
  runCleanNode(['--no-warnings', flag, guard, entry], {
    cwd,
    node,
    env: { BYRE_GUARD: 'byre.floor.json', ...env },
  })

t.test('a denied package is refused before it loads, with the chain', async (t) => {
  const table: readonly [string, RegExp][] = [
    [
      'esm.mjs',
      /Cannot load 'orm' before ready: it is denied for 'esm\.mjs'. Imported by esm\.mjs -> mid\.mjs -> orm\/i\.js/,
    ],
    ['cjs.cjs', /Imported by cjs\.cjs -> mid\.cjs -> orm\/i\.js/],
    ['dynamic.mjs', /Imported by dynamic\.mjs -> orm\/i\.js/],
  ]
  for (const [entry, message] of table) {
    const result = await run(entry)
    t.equal(result.code, 1, entry)
    t.match(result.stderr, message)
    t.match(result.stderr, 'BYRE_AUDIT_GUARD')
    t.notMatch(result.stdout, 'ran')
  }
  t.match((await run('cjs.cjs', {}, '-r')).stderr, /Imported by cjs\.cjs -> mid\.cjs -> orm/, 'as --require')
})

t.test('a violation hidden by a try/catch is reported at exit', async (t) => {
  const { code, stdout, stderr } = await run('swallow.cjs')
  t.same([code, stdout], [0, 'ran\n'])
  t.match(stderr, /1 forbidden import\(s\) before ready:\nCannot load 'orm'/)
})

t.test('after ready lazy imports pass', async (t) => {
  for (const entry of ['late.mjs', 'late.cjs']) {
    const result = await run(entry)
    t.same([result.code, result.stderr], [0, ''], entry)
    t.match(result.stdout, 'ran')
  }
})

t.test('worker threads are guarded', async (t) => {
  const { stdout, stderr } = await run('thread.mjs')
  t.match(stdout, /BYRE_AUDIT_GUARD Cannot load 'orm' before ready: it is denied for 'thread\.mjs'/, stderr)
})

t.test(
  'warn says it and goes on; an allowed package passes; nothing is guarded without BYRE_GUARD',
  async (t) => {
    const warned = await run('esm.mjs', { BYRE_GUARD_MODE: 'warn' })
    t.same([warned.code, warned.stdout], [0, 'ran\n'], warned.stderr)
    t.match(warned.stderr, /^byre guard: Cannot load 'orm' before ready/m)
    t.same((await run('allowed.mjs')).stderr, '')
    t.equal((await run('esm.mjs', { BYRE_GUARD: '' })).stdout, 'ran\n')
  },
)

t.test('a missing file and a missing block stop the program before it starts', async (t) => {
  t.match((await run('esm.mjs', { BYRE_GUARD: 'none.json' })).stderr, 'BYRE_AUDIT_FLOOR_FILE')
  const unknown = await run('esm.mjs', { BYRE_GUARD_ENTRY: 'x.js' })
  t.match(unknown.stderr, /Cannot guard 'x\.js'/)
  t.equal(unknown.code, 1)
})

t.test(
  'rules: denied packages, packages allowed later, packages that are heavy in other entries',
  async (t) => {
    const file = {
      ...emptyFloorFile(),
      entries: {
        a: { ...emptyFloorEntry(), allow: { orm: 'load', later: 'ready' }, deny: ['x'], may: ['m'] },
        b: { ...emptyFloorEntry(), allow: { big: 'load', m: 'load' } },
      },
    } as const
    t.same(Object.keys(guardRules(file, 'a').forbidden).toSorted(), ['big', 'later', 'x'])
    const checker = createImportChecker(guardRules(file, 'a'), '/p')
    t.equal(checker.check('file:///p/a.js', 'file:///p/node_modules/orm/i.js'), undefined)
    t.match(
      checker.check('file:///p/a.js', 'file:///p/node_modules/@s/y/node_modules/x/i.js')?.message,
      /a\.js -> x\/i\.js/,
    )
    t.equal(checker.check('file:///p/node_modules/x/i.js', 'file:///p/node_modules/x/j.js'), undefined)
  },
)
