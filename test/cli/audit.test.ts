// `byre audit` as a command, on a program with two packages.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { doubles, writeProgram } from '../audit/fixtures.ts'
import { runCleanNode, type CleanResult } from '../helpers/clean-node.ts'

t.setTimeout(600_000)

const bin = resolve(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')
const cache = t.testdir({})
const cwd = writeProgram(t.testdir({}), {
  'node_modules/heavy/package.json': '{"name":"heavy","main":"i.js"}',
  'node_modules/heavy/i.js': `exports.d = ${doubles(2)}`,
  'app.cjs': `// the app\nrequire('heavy')`,
})
const byre = (...args: string[]): Promise<CleanResult> =>
  runCleanNode([bin, 'audit', ...args], {
    cwd,
    env: { XDG_CACHE_HOME: cache, HOME: cache },
    timeoutMs: 60_000,
  })

t.test('audit exits 0 when it records a floor or the floor holds, and 3 when it is broken', async (t) => {
  t.equal((await byre('--check', 'app.cjs')).code, 1, 'no file yet')
  const recorded = await byre('app.cjs', '--update', '--proofs', '1', '--runs', '1')
  t.equal(recorded.code, 0, recorded.stderr)
  t.match(recorded.stdout, /MB proven in 2 runs .* app\.cjs:2 -> heavy\/i\.js/)
  t.same(JSON.parse(readFileSync(join(cwd, 'byre.floor.json'), 'utf8')).entries['app.cjs'].allow, {
    heavy: 'load',
  })
  const kept = await byre('--check')
  t.same(
    [kept.code, kept.stdout],
    [0, `app.cjs on Node ${process.versions.node.split('.')[0]}: floor kept\n`],
    kept.stderr,
  )
  const audits = join(cache, 'byre', 'audit')
  for (let i = 0; i < 2; i++) {
    for (const name of readdirSync(audits)) if (name.endsWith('.json')) rmSync(join(audits, name))
    const { code, stdout } = await byre('--check', '--json')
    const [result] = JSON.parse(stdout).results
    t.same([code, result.cached], [0, undefined], 'an unchanged tree passes every new measurement')
    // scripts/bench check does this 200 times.
  }

  const floor = JSON.parse(readFileSync(join(cwd, 'byre.floor.json'), 'utf8'))
  floor.entries['app.cjs'] = { ...floor.entries['app.cjs'], allow: {}, deny: ['nonsense'] }
  writeFileSync(join(cwd, 'byre.floor.json'), JSON.stringify(floor))
  const broken = await byre('--check', '--json')
  t.equal(broken.code, 3)
  const { results, verdicts } = JSON.parse(broken.stdout)
  t.same(
    verdicts[0].findings.map((f: { rule: string }) => f.rule),
    ['not-allowed', 'unknown-deny'],
  )
  t.equal(results[0].version, 1)
  writeFileSync(join(cwd, 'base.json'), broken.stdout)
})

t.test('reports are written to the given files, and a diff with itself is empty', async (t) => {
  const done = await byre(
    ...'app.cjs --runs 1 --proofs 0 --html a.html --speedscope s.json --trace t.json --diff base.json'.split(
      ' ',
    ),
  )
  t.equal(done.code, 0, done.stderr)
  for (const name of ['a.html', 's.json', 't.json']) t.ok(existsSync(join(cwd, name)), name)
  t.match(done.stdout, /0 modules more, 0 fewer\n$/)
})

t.test('an invalid command line is refused with the remedy', async (t) => {
  const table: readonly [string[], number, RegExp][] = [
    [['nosuch'], 1, /it is not a file, a package or a bin/],
    [['app.cjs', '--runs', 'many'], 2, /whole number/],
    [['app.cjs', '--env', 'x'], 2, /NAME=value/],
    [['app.cjs', '--diff', 'app.cjs'], 2, /byre audit --json/],
    [['app.cjs', '--cut', 'heavi', '--runs', '1'], 1, /did you mean 'heavy'/],
  ]
  for (const [args, code, message] of table) {
    const result = await byre(...args)
    t.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
    t.match(result.stderr, message)
  }
})
