// `byre measure` as a command: exit codes, files, verification, ceilings and stages.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { MeasureResult } from '../../src/measure/result.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { BIN, cgroupsLeft, folderFor, noCgroup, runMeasure } from '../helpers/measure.ts'

leakGuard(t)

t.test('a successful command exits 0 with the headline, its parts and all files', async (t) => {
  const cwd = folderFor(t)
  const args = ['--label', 'one', '--html', 'a.html', '--markdown', 'a.md', '--prometheus', 'a.prom']
  const done = await runMeasure([...args, '--', 'sh', '-c', 'echo out; echo err >&2; sleep 0.2'], cwd)
  t.equal(done.code, 0, done.stderr)
  t.match(done.stdout, /peak \d/)
  const skip = noCgroup(done.result)
  if (skip === false) t.match(done.stdout, /anon .* \+ file .* \+ kernel /)
  t.match(done.stdout, /^out$/m, 'its output is shown')
  const folder = join(cwd, '.byre/measure')
  t.equal(readFileSync(join(folder, 'one.log'), 'utf8'), 'out\nerr\n')
  t.match(readFileSync(join(folder, 'timeline-one.csv'), 'utf8'), /^lane,phase.*\n.*,warm,1,\d+,total,/)
  const file = JSON.parse(readFileSync(join(folder, 'result-one.json'), 'utf8')) as MeasureResult
  t.ok(file.runs[0]!.timeline!.atMs.length > 0)
  t.equal(file.version, 1)
  for (const name of ['a.html', 'a.md', 'a.prom']) t.ok(existsSync(join(cwd, name)), name)
  t.same(cgroupsLeft(), [])
})

t.test('--json-only prints one line', async (t) => {
  const { stdout, stderr } = await runMeasure(['--json-only', '--', 'sh', '-c', 'echo out'], folderFor(t))
  t.match(stdout, /^\[BYRE-MEASURE RESULT\] \{[^\n]*\}\n$/)
  t.equal(stderr, '')
})

t.test('a failed command exits 1 with its status and its last lines', async (t) => {
  const done = await runMeasure(['--quiet', '--', 'sh', '-c', 'echo why >&2; exit 7'], folderFor(t))
  t.equal(done.code, 1)
  t.same(done.result.runs[0]!.outcome, { kind: 'exited', code: 7 })
  t.match(done.stdout, /exit 7\n +\| why/)
})

t.test('a failed --verify or --verify-json exits 1 although the command exited 0', async (t) => {
  const cwd = folderFor(t)
  const line = `mkdir -p d; echo x > d/a.js; : > d/empty; echo '{"a":{"b":[0,"v"]},"n":null}' > f.json`
  const good = ['--verify', 'd/*.js', '--verify', '**/a.*', '--verify-json', 'f.json:a.b.1']
  t.equal((await runMeasure([...good, '--json-only', line], cwd)).code, 0)
  for (const bad of [
    ['--verify', 'd/*.css'],
    ['--verify', 'd/empty'],
    ['--verify', 'nowhere'],
    ['--verify-json', 'f.json:n'],
    ['--verify-json', 'f.json:a.c'],
  ]) {
    const done = await runMeasure([...good, ...bad, '--json-only', line], cwd)
    t.equal(done.code, 1, bad.join(' '))
    t.match(done.result.runs[0]!, { outcome: { code: 0 }, ok: false })
  }
})

t.test(
  '--prepare makes a run cold; cold and warm runs are reported separately; --cleanup runs after each run',
  async (t) => {
    const cwd = folderFor(t)
    const line = 'test -e cache && echo warm >> log || { echo cold >> log; touch cache; }'
    const args = ['--prepare', 'rm -f cache', '--phases', 'cold,warm', '--runs', '2', '--warmup', '1']
    const { result } = await runMeasure([...args, '--cleanup', 'echo end >> log', '--json-only', line], cwd)
    t.same(
      result.runs.map((run) => `${run.phase} ${run.run}`),
      ['cold 1', 'warm 1', 'cold 2', 'warm 2'],
    )
    t.equal(
      readFileSync(join(cwd, 'log'), 'utf8')
        .split('\n')
        .filter((l) => l !== 'end')
        .join(' '),
      'cold cold warm cold warm ',
    )
    const failed = await runMeasure(['--prepare', 'exit 3', '--json-only', line], cwd)
    t.equal(failed.code, 1)
    t.match(failed.result.runs[0]!.outcome, { kind: 'not-started', reason: /--prepare ended with status 3/ })
  },
)

t.test('an exceeded --ceiling on a metric exits 3, one that holds exits 0', async (t) => {
  const line = `perl -e 'vec($x, 50e6, 8) = 1; select undef, undef, undef, 0.3'`
  for (const metric of ['anon', 'pss', 'uss', 'peak']) {
    t.equal(
      (await runMeasure(['--ceiling', `${metric}=40MB`, '--json-only', line], folderFor(t))).code,
      3,
      metric,
    )
    t.equal(
      (await runMeasure(['--ceiling', `${metric}=90MB`, '--json-only', line], folderFor(t))).code,
      0,
      metric,
    )
  }
})

t.test(
  '--limit is enforced: the command fits, is reclaimed or is killed, with evidence',
  async (t): Promise<void> => {
    const cwd = folderFor(t)
    const anon = (bytes: number): string => `perl -e 'vec($x, ${bytes}, 8) = 1'`
    const fit = async (limit: string, line: string) =>
      (await runMeasure(['--limit', limit, '--json-only', line], cwd)).result
    const fitted = await fit('100MB', anon(40e6))
    const skip = noCgroup(fitted)
    if (skip !== false) return void t.pass(`not possible here: ${skip}`)
    t.match(fitted.runs[0]!.limit, { fit: 'fitted', limitBytes: 100e6 })
    t.match((await fit('60MB', anon(90e6))).runs[0]!, {
      ok: false,
      limit: { fit: 'killed', evidence: /OOM kills 1/ },
    })
    const cache = 'dd if=/dev/zero of=big bs=1MB count=120 conv=fsync && cat big > /dev/null'
    t.match((await fit('40MB', cache)).runs[0]!, { ok: true, limit: { fit: 'reclaimed' } })
  },
)

t.test('a stage is set by a rule, by a printed marker or by a line in $BYRE_STAGE_FILE', async (t) => {
  const big = (bytes: number): string => `perl -e 'vec($x, ${bytes}, 8) = 1; select undef, undef, undef, 0.4'`
  const line = `echo ::byre-stage first::; ${big(20e6)}; echo ::byre-stage second:: >> "$BYRE_STAGE_FILE"; ${big(60e6)}; exec perl -e '# special' -e 'select undef, undef, undef, 0.3'`
  const { result } = await runMeasure(['--stage', 'third=special', '--json-only', line], folderFor(t))
  const run = result.runs[0]!
  const stage = (name: string) => run.stages.find((one) => one.name === name)
  t.ok(Math.abs(stage('first')!.peakPssBytes - 20e6) < 6e6, JSON.stringify(run.stages))
  t.ok(Math.abs(stage('second')!.peakPssBytes - 60e6) < 6e6)
  t.equal(run.drivingStage, 'second')
})

t.test(
  'two commands are compared in interleaved runs with medians and spread; a failed one keeps its place',
  async (t) => {
    const done = await runMeasure(['--runs', '2', '--markdown', 'm.md', 'sleep 0.1', 'exit 9'], folderFor(t))
    t.same(
      done.result.runs.map((run) => run.lane),
      ['sleep 0.1', 'exit 9', 'exit 9', 'sleep 0.1'],
    )
    t.match(done.stdout, /side by side/)
    t.match(done.stdout, /exit 9 +0\/2 +no output captured \(exit 9\)/)
    t.equal(done.code, 1)
  },
)

t.test('an invalid command line is refused with the flag, the rule and the value', async (t) => {
  const cwd = folderFor(t)
  for (const [args, message] of [
    [[], /Cannot measure: no command is given/],
    [['a', '--', 'b'], /both 'a' and the command after '--'/],
    [['--runs', '0', 'true'], /--runs: it must be a whole number from 1 to 1000, got '0'/],
    [['--ceiling', 'rss=1GB', 'true'], /must be one of peak, anon, pss, uss, got 'rss'/],
    [['--limit', 'much', 'true'], /--limit: it must be a size/],
    [['--phases', 'cold', 'true'], /--phases cold without --prepare/],
    [['--label', '../x', 'true'], /--label/],
    [['--verify-json', 'x', 'true'], /FILE:KEY/],
    [['--size', 'x', 'true'], /NAME=PATH/],
  ] as const) {
    const done = await runCleanNode([BIN, 'measure', ...args], { cwd })
    t.equal(done.code, 2, args.join(' '))
    t.match(done.stderr, message)
  }
})

t.test('the arguments after -- are passed unchanged, including options', async (t) => {
  const { result } = await runMeasure(
    ['--json-only', '--', 'sh', '-c', 'test "$1 $2" = "--runs --"', 'x', '--runs', '--'],
    folderFor(t),
  )
  t.equal(result.ok, true, JSON.stringify(result.runs[0]!.outcome))
})

t.test(
  'byre compare prints a verdict, exits 3 with --fail-on worse, and refuses files that are not results',
  async (t) => {
    const cwd = folderFor(t)
    const hold = (bytes: number): string =>
      `perl -e 'vec($x, ${bytes}, 8) = 1; select undef, undef, undef, 0.1'`
    await runMeasure(['--label', 'a', '--runs', '5', '--json-only', hold(20e6)], cwd)
    await runMeasure(['--label', 'b', '--runs', '5', '--json-only', hold(60e6)], cwd)
    const [a, b] = ['a', 'b'].map((label) => join('.byre/measure', `result-${label}.json`))
    const run = (...args: string[]) => runCleanNode([BIN, 'compare', ...args], { cwd })
    const worse = await run(a!, b!, '--fail-on', 'worse')
    t.equal(worse.code, 3, worse.stderr)
    t.match(worse.stdout, /^a -> b: (worse|mixed)\n/)
    t.equal((await run(a!, b!)).code, 0)
    t.match(JSON.parse((await run(a!, a!, '--json')).stdout), { verdict: 'no difference shown' })
    writeFileSync(join(cwd, 'x.json'), '{}')
    t.match(await run(a!, 'x.json'), { code: 2, stderr: /it must be a result of byre measure/ })
    t.match(await run(a!, 'none.json'), { code: 2, stderr: /ENOENT/ })
  },
)
