import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { audit } from '../../src/audit/audit.ts'
import { entryOfFile, resolveEntry } from '../../src/audit/entry.ts'
import { doubles, writeProgram } from './fixtures.ts'

// Children run in parallel with those of other tests, on few cores; memory does not depend on the load.
t.setTimeout(600_000)

t.test('a heavy package is touched, untouched or unseen while the program loads', async (t) => {
  const cacheFolder = t.testdir({})
  const files: Record<string, string> = {}
  for (const name of ['called', 'extended', 'idle', 'required', 'required-idle', 'effect']) {
    files[`node_modules/${name}/package.json`] = `{"name":"${name}","main":"i.js"}`
    files[`node_modules/${name}/i.js`] =
      `exports.make = () => 1; exports.Base = class { #x = 1; get x() { return this.#x } }; exports.data = ${doubles(2)}`
  }
  files['main.mjs'] =
    `import { make } from 'called'; import { Base } from 'extended'; import { make as idle } from 'idle'
import './r.cjs'; import 'effect'
export const a = make(); export class B extends Base {}; export const later = () => idle(); new B().x`
  files['r.cjs'] =
    `const r = require('required'); const i = require('required-idle'); r.make(); exports.f = () => i.make()`
  const cwd = writeProgram(`${cacheFolder}/p`, files)
  const result = await audit({
    entries: [resolveEntry('main.mjs', cwd)],
    cwd,
    cacheFolder,
    runs: 1,
    proofRuns: 1,
  })
  const verdicts = Object.fromEntries(
    (result.usage?.packages ?? []).map((p) => [p.name, `${p.verdict} ${p.firstUse ?? ''}`]),
  )
  t.same(verdicts, {
    called: 'touched make',
    extended: 'touched Base',
    idle: 'untouched ',
    required: 'touched make',
    'required-idle': 'untouched ',
    effect: 'untouched ',
  })
})

t.test('a worker is watched in the real program, until it is ready and until a first message', async (t) => {
  const cwd = mkdtempSync(join(tmpdir(), 'byre-w-'))
  t.teardown(() => rmSync(cwd, { recursive: true, force: true }))
  const files: Record<string, string> = {
    'package.json': '{"type":"module"}',
    'byre.config.json': JSON.stringify({ name: 'w', workers: { w: { module: './w.js', ready: 'call' } } }),
    'w.js': `import { make as a } from 'at-start'; import { make as b } from 'after-ready'; import { make as c } from 'per-message'
export const run = async (ctx) => { a(); ctx.ready(); await new Promise((r) => setTimeout(r, 50)); b()
  for await (const _ of ctx.bus.subscribe('x')) c() }`,
  }
  for (const name of ['at-start', 'after-ready', 'per-message']) {
    files[`node_modules/${name}/package.json`] = `{"name":"${name}","main":"i.js"}`
    files[`node_modules/${name}/i.js`] = `exports.make = () => 1; exports.data = ${doubles(2)}`
  }
  writeProgram(cwd, files)
  const watch = async (until: 'ready' | 'first-message') => {
    const worker = { name: 'w', configFile: join(cwd, 'byre.config.json') }
    const result = await audit({
      entries: [{ ...entryOfFile('w', join(cwd, 'w.js')), worker }],
      cwd,
      cacheFolder: join(cwd, 'cache'),
      runs: 1,
      proofs: 0,
      until,
    })
    const packages = result.usage?.packages ?? []
    return { until: result.usage?.until, ...Object.fromEntries(packages.map((p) => [p.name, p.verdict])) }
  }
  const untouched = { 'at-start': 'touched', 'after-ready': 'untouched', 'per-message': 'untouched' }
  t.same(await watch('ready'), { until: 'ready', ...untouched })
  t.same(await watch('first-message'), { until: 'first-message', ...untouched, 'after-ready': 'touched' })
})

t.test('a program that never becomes ready is reported by name', async (t) => {
  const cwd = writeProgram(t.testdir({}), {
    'node_modules/heavy/index.js': `exports.d = ${doubles(2)}`,
    'main.cjs': `exports.h = require('heavy')`,
  })
  await t.rejects(
    audit({
      entries: [resolveEntry('main.cjs', cwd)],
      cwd,
      cacheFolder: false,
      runs: 1,
      proofs: 0,
      until: 'ready',
    }),
    {
      code: 'BYRE_AUDIT_WITNESS',
      message: /Cannot watch 'main.cjs' until 'ready': .*it ended with code 0 before/,
    },
  )
})
