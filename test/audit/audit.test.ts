// Audits of real programs in clean children, on the node that runs the tests.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { audit } from '../../src/audit/audit.ts'
import { resolveEntry } from '../../src/audit/entry.ts'
import { chainText } from '../../src/audit/chain.ts'
import { resolveAuditOptions, type AuditProgress } from '../../src/audit/options.ts'
import { openSession } from '../../src/audit/session.ts'
import { doubles, seedCase, writeProgram } from './fixtures.ts'

// Children run in parallel with those of other tests, on few cores; memory does not depend on the load.
t.setTimeout(600_000)

const MIB = 1024 * 1024
const cacheFolder = t.testdir({})
const quick = { cacheFolder, runs: 1, proofRuns: 1 } as const

t.test(
  'many importers of a heavy package: one edge saves 0, the cut is named, and the proof confirms it',
  async (t) => {
    const cwd = writeProgram(t.testdir({}), seedCase())
    const before = listing(cwd)
    const result = await audit({
      ...quick,
      cwd,
      entries: [resolveEntry('cli/index.js', cwd)],
      whatIf: ['topology/index.js -> entities/base.js'],
      cut: ['heavy-orm', 'entities/base.js'],
    })
    const [whatIf, cut, hub] = result.answers
    t.equal(whatIf?.kind, 'what-if')
    if (whatIf?.kind !== 'what-if' || cut?.kind !== 'cut' || hub?.kind !== 'cut') return
    t.ok(Math.abs(whatIf.saving.predictedBytes) < 64 * 1024, 'one edge saves nothing')
    t.ok(
      whatIf.saving.proof.kind === 'proven' && Math.abs(whatIf.saving.proof.savedBytes) < 64 * 1024,
      'and that is proven',
    )
    t.match(chainText(whatIf.stillReachedBy ?? []), /^cli\/index\.js:\d+ -> /)

    t.same(
      cut.saving.edges.map((e) => `${e.from}:${e.line} -> ${e.to}`),
      ['entities/base.js:2 -> heavy-orm/index.js'],
    )
    near(t, cut.saving.predictedBytes, 8 * MIB)
    t.equal(cut.saving.proof.kind, 'proven')
    if (cut.saving.proof.kind === 'proven') near(t, cut.saving.proof.savedBytes, 8 * MIB)

    t.equal(hub.saving.edges.length, 26, 'before the hub, every chain has to be cut')
    if (hub.saving.proof.kind === 'proven') near(t, hub.saving.proof.savedBytes, hub.saving.predictedBytes)
    else t.fail(JSON.stringify(hub.saving.proof))

    const orm = result.packages.find((p) => p.name === 'heavy-orm')
    near(t, orm?.retainedBytes ?? 0, 8 * MIB)
    t.equal(
      chainText(orm?.chain ?? []),
      'cli/index.js:1 -> topology/index.js:3 -> entities/base.js:2 -> heavy-orm/index.js',
    )
    t.ok(result.parts.namedShare > 0.97, `${result.parts.namedShare} of the floor is named`)
    t.same(result.warnings, [])
    t.same(listing(cwd), before, 'the audited project is not touched')
  },
)

t.test(
  'a second audit of an unchanged program measures nothing, a changed file measures again',
  async (t) => {
    const cwd = writeProgram(t.testdir({}), { 'a.cjs': `exports.d = ${doubles(2)}` })
    const options = { ...quick, cwd, entries: [resolveEntry('a.cjs', cwd)] }
    const first = await audit(options)
    const second = await audit(options)
    t.equal(second.cached, true)
    t.same({ ...second, cached: undefined }, { ...first, cached: undefined })
    writeFileSync(join(cwd, 'a.cjs'), `exports.d = ${doubles(3)}`)
    const third = await audit(options)
    t.equal(third.cached, undefined)
    near(t, third.floor.calibratedBytes.medianBytes - first.floor.calibratedBytes.medianBytes, MIB)
  },
)

t.test('imports of every module system are found: one path into each package', async (t) => {
  /** Package name -> files of the path to it, the entry point first. */
  const ways: Record<string, Record<string, string>> = {
    esm: { 'esm.mjs': `import 'esm'` },
    cjs: { 'cjs.cjs': `require('cjs')` },
    dynamic: { 'dynamic.mjs': `await import('dynamic')` },
    tla: {
      'tla.mjs': `const { d } = await import('./deep.mjs'); export const e = d`,
      'deep.mjs': `await new Promise(setImmediate); export { d } from 'tla'`,
    },
    required: {
      'required.cjs': `require('./wraps.mjs')`,
      'wraps.mjs': `import { d } from 'required'; export default d`,
    },
    created: {
      'created.mjs': `import { createRequire } from 'node:module'; createRequire(import.meta.url)('created')`,
    },
    cycle: {
      'cycle.mjs': `import './cycle-b.mjs'; export const a = 1`,
      'cycle-b.mjs': `import './cycle.mjs'; import 'cycle'`,
    },
    barrel: {
      'barrel.mjs': Array.from({ length: 100 }, (_, i) => `export * from './leaf-${i}.mjs'`).join('\n'),
      ...Object.fromEntries(
        Array.from({ length: 100 }, (_, i) => [
          `leaf-${i}.mjs`,
          i === 99 ? `export { d } from 'barrel'` : `export const v${i} = 1`,
        ]),
      ),
    },
    hashbang: { 'hashbang.mjs': `#!/usr/bin/env node\nimport 'hashbang'` },
    json: { 'json.cjs': `require('json')` },
  }
  const files: Record<string, string> = {}
  for (const [name, way] of Object.entries(ways)) {
    Object.assign(files, way)
    const main = name === 'json' ? '"./big.json"' : '{"import":"./i.mjs","require":"./r.cjs"}'
    files[`node_modules/${name}/package.json`] = `{"name":"${name}","exports":${main}}`
    files[`node_modules/${name}/i.mjs`] = `export const d = ${doubles(2)}`
    files[`node_modules/${name}/r.cjs`] = `exports.d = ${doubles(1)}`
    files[`node_modules/${name}/big.json`] = JSON.stringify(Array.from({ length: 262_144 }, () => 1.5))
  }
  const firsts = Object.values(ways).map((way) => Object.keys(way)[0]!)
  files['main.mjs'] = `${firsts.map((f) => `import './${f}'`).join('\n')}\nprocess.exit(7)`
  const cwd = writeProgram(t.testdir({}), files)
  const result = await audit({
    ...quick,
    cwd,
    entries: [resolveEntry('main.mjs', cwd)],
    cut: Object.keys(ways),
    proofs: 0,
  })
  for (const answer of result.answers) {
    t.equal(answer.kind, 'cut', answer.question)
    if (answer.kind !== 'cut') continue
    const expected = (['cjs', 'created'].includes(answer.question) ? 1 : 2) * MIB
    // Among cuts of one edge the one with the largest saving is named: before a barrel, not behind it.
    if (answer.question === 'barrel') {
      t.match(answer.saving.edges, [{ from: 'main.mjs', to: 'barrel.mjs' }])
      t.ok(answer.saving.predictedBytes > 2 * MIB)
      continue
    }
    near(t, answer.saving.predictedBytes, expected, `${answer.question} predicted`)
    if (answer.saving.proof.kind === 'proven')
      near(t, answer.saving.proof.savedBytes, expected, `${answer.question} proven`)
    else t.fail(`${answer.question}: ${JSON.stringify(answer.saving.proof)}`)
  }
  t.match(result.warnings, [
    /^the program called process\.exit\(7\) while loading/,
    /^2 modules were in a top-level await at the same time.*dynamic\.mjs.*(?:tla|deep)\.mjs/,
  ])
})

t.test('memory that builtin modules share is not charged to the first of them', async (t) => {
  const cwd = writeProgram(t.testdir({}), {
    'main.cjs': `require('./first.cjs'); require('./second.cjs')`,
    'first.cjs': `exports.h = require('node:http2')`,
    'second.cjs': `exports.h = require('node:https')`,
  })
  const result = await audit({
    ...quick,
    cwd,
    entries: [resolveEntry('main.cjs', cwd)],
    proofs: 0,
    whatIf: ['first.cjs -> node:http2'],
  })
  const [answer] = result.answers
  if (answer?.kind !== 'what-if' || answer.saving.proof.kind !== 'proven')
    throw new Error(JSON.stringify(answer))
  const { predictedBytes, proof } = answer.saving
  near(t, predictedBytes, proof.savedBytes)
  t.ok(proof.savedBytes < (result.packages.find((p) => p.name === 'node:internal')?.selfBytes ?? 0))
  t.same(result.warnings, [])
})

t.test('an entry that throws and an entry that does not exist are reported by name', async (t) => {
  const cwd = writeProgram(t.testdir({}), { 'throws.mjs': `throw new Error('no database')` })
  t.throws(() => resolveEntry('nothing', cwd), { code: 'BYRE_AUDIT_ENTRY' })
  await t.rejects(audit({ ...quick, cwd, entries: [resolveEntry('throws.mjs', cwd)] }), {
    code: 'BYRE_AUDIT_ENTRY',
    message: /throws\.mjs.*no database/s,
  })
})

t.test('folders of killed audits are removed, those of running and recent audits are kept', async (t) => {
  const temporary = t.testdir({})
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = temporary
  t.teardown(() => {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  })
  const gone = spawnSync(process.execPath, ['-e', '']).pid
  const twoHoursAgo = Date.now() / 1000 - 7200
  const put = (name: string, seconds: number): void => {
    mkdirSync(join(temporary, name, 'warm-up'), { recursive: true })
    utimesSync(join(temporary, name), seconds, seconds)
  }
  put(`byre-audit-${gone}-killed`, twoHoursAgo)
  put(`byre-audit-${gone}-recent`, Date.now() / 1000)
  put(`byre-audit-${process.pid}-alive`, twoHoursAgo)
  put('byre-audit-of-somebody', twoHoursAgo)
  openSession(resolveAuditOptions({ entries: [] })).close()
  t.same(
    readdirSync(temporary).toSorted(),
    [`byre-audit-${gone}-recent`, `byre-audit-${process.pid}-alive`, 'byre-audit-of-somebody'].toSorted(),
  )
})

t.test('an interrupted audit returns a partial result', async (t) => {
  const cwd = writeProgram(t.testdir({}), {
    'main.cjs': `require('./a.cjs'); require('./b.cjs')`,
    'a.cjs': `exports.d = ${doubles(2)}`,
    'b.cjs': `exports.d = ${doubles(3)}`,
  })
  const controller = new AbortController()
  const stages = new Set<string>()
  const onProgress = (p: AuditProgress): void => {
    stages.add(p.stage)
    if (p.stage === 'prove' && p.done === 1) controller.abort()
  }
  const options = { ...quick, cwd, entries: [resolveEntry('main.cjs', cwd)], parallel: 1 }
  const result = await audit({ ...options, onProgress, signal: controller.signal })
  t.match(result.partial, /interrupted after 1 of 2 proofs/)
  t.same(
    result.savings.map((s) => s.proof.kind),
    ['proven', 'not-run'],
  )
  t.same([...stages], ['plain', 'bare', 'probe', 'prove'])
  await t.rejects(audit({ ...options, signal: AbortSignal.abort() }), { name: 'AbortError' })
})

function near(
  t: { ok(value: boolean, message: string): boolean },
  got: number,
  expected: number,
  what = '',
): void {
  const tolerance = Math.max(0.03 * expected, 256 * 1024)
  t.ok(
    Math.abs(got - expected) <= tolerance,
    `${what} ${Math.round(got / 1024)} KiB is near ${expected / 1024} KiB`,
  )
}

function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((f) => statSync(join(folder, f)).isFile())
    .map((f) => `${f} ${readFileSync(join(folder, f), 'utf8').length} ${statSync(join(folder, f)).mtimeMs}`)
    .toSorted()
}
