// Misbehaving commands. After each there is a report and neither a process nor a cgroup of the run is left.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { eventually, nextEvent } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import {
  cgroupsLeft,
  folderFor,
  noCgroup,
  parseResult,
  runMeasure,
  startMeasure,
} from '../helpers/measure.ts'

leakGuard(t)

const isRoot = process.getuid?.() === 0
const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`)

t.afterEach(() => {
  const left = cgroupsLeft()
  if (left.length > 0) throw new Error(`cgroups left behind: ${left.join(', ')}`)
})

t.test('a command that does not exist, and one without permission to execute', async (t) => {
  const cwd = folderFor(t)
  const missing = await runMeasure(['--', 'no-such-command-here'], cwd)
  t.equal(missing.code, 1)
  t.match(missing.result.runs[0]!.outcome, {
    kind: 'not-started',
    reason: /'no-such-command-here' was not found/,
  })
  t.same(missing.result.runs[0]!.metrics, {})
  t.match(missing.stdout, /no output captured/)
  writeFileSync(join(cwd, 'plain'), 'x', { mode: 0o644 })
  const plain = await runMeasure(['--', './plain'], cwd)
  t.match(plain.result.runs[0]!.outcome, { kind: 'not-started', reason: /cannot execute/ })
})

t.test('exits at once: the kernel has its peak, and figures without samples are marked', async (t) => {
  const { result, code } = await runMeasure(['--runs', '5', '--json-only', '--', '/bin/true'], folderFor(t))
  t.equal(code, 0)
  for (const run of result.runs) {
    if (noCgroup(result) === false) t.ok(run.metrics.peakBytes! > 0)
    t.ok(run.metrics.pssBytes !== undefined || /ended before/.test(run.absent['pssBytes']!))
    t.ok(run.metrics.largestRssBytes! > 0)
  }
})

t.test('killed', async (t) => {
  const { result, code } = await runMeasure(['--json-only', '--', 'sh', '-c', 'kill -9 $$'], folderFor(t))
  t.equal(code, 1)
  t.same(result.runs[0]!.outcome, { kind: 'killed', signal: 'SIGKILL' })
})

t.test('forks 500 short-lived children', async (t) => {
  const line = 'i=0; while [ $i -lt 500 ]; do /bin/true & i=$((i+1)); done; wait'
  const { result } = await runMeasure(['--json-only', line], folderFor(t))
  t.equal(result.ok, true)
  t.ok(result.runs[0]!.metrics.minorFaults! > 10_000, 'all of them are in the usage')
})

t.test('daemonises: found while it is alive, named and killed', async (t) => {
  const cwd = folderFor(t)
  const daemon = `perl -MPOSIX -e 'exit if fork; setsid; exit if fork; open F, ">", "pid"; print F $$; close F; vec($x, 30e6, 8) = 1; sleep 600'`
  const { result, stdout } = await runMeasure([`${daemon}; while [ ! -s pid ]; do :; done; sleep 0.5`], cwd)
  const pid = Number(readFileSync(join(cwd, 'pid'), 'utf8'))
  t.notOk(isAlive(pid), 'it is ended')
  t.match(result.runs[0]!.leftovers, [{ pid, name: 'perl' }])
  t.ok(result.runs[0]!.metrics.pssBytes! > 30e6, 'its memory was seen')
  t.match(stdout, /outlived the command and were killed: perl/)
})

t.test('prints 1 GB: all of it is in the log, the memory of byre stays small', async (t) => {
  const cwd = folderFor(t)
  const { result } = await runMeasure(['--quiet', '--label', 'big', 'head -c 1000000000 /dev/zero'], cwd)
  t.equal(result.ok, true)
  t.match(result.runs[0]!.output, { bytes: 1e9, unloggedBytes: 0 })
  t.equal(
    execFileSync('stat', ['-c', '%s', join(cwd, '.byre/measure/big.log')], { encoding: 'utf8' }).trim(),
    '1000000000',
  )
})

t.test('a log has a maximum size; output beyond it is counted', async (t) => {
  const { result } = await runMeasure(
    ['--log-max', '1MB', '--quiet', 'head -c 3000000 /dev/zero'],
    folderFor(t),
  )
  t.equal(result.ok, true)
  t.ok(result.runs[0]!.output.unloggedBytes >= 1e6)
  t.match(result.runs[0]!.notes.join(), /the log stops at 1000000 bytes/)
})

t.test('fills the disk: the run completes, the report is on stdout, lost output is reported', async (t) => {
  if (!isRoot) return void t.pass('mounting a small disk needs root')
  const cwd = folderFor(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', cwd])
  try {
    const done = await runMeasure(['--quiet', 'cat /dev/zero > full; echo after; exit 5'], cwd)
    t.same(done.result.runs[0]!.outcome, { kind: 'exited', code: 5 })
    t.equal(done.code, 1)
    t.match(done.result.runs[0]!.notes.join(), /the log is incomplete.*ENOSPC/)
    t.match(done.stderr, /Cannot write .*result-.*ENOSPC/)
  } finally {
    execFileSync('umount', [cwd])
  }
})

t.test('changes its uid: still measured', async (t) => {
  if (!isRoot) return void t.pass('changing the uid needs root')
  const line = `perl -e '$> = $< = 65534; vec($x, 30e6, 8) = 1; select undef, undef, undef, 0.4; exit($< == 65534 ? 0 : 9)'`
  const { result } = await runMeasure(['--json-only', line], folderFor(t))
  t.equal(result.ok, true)
  t.ok(result.runs[0]!.metrics.pssBytes! > 30e6)
  t.equal(result.runs[0]!.sampling.unreadable, 0)
})

t.test('moves itself to another cgroup: named, since its memory is not in the peak', async (t) => {
  const cwd = folderFor(t)
  const probe = await runMeasure(['--json-only', 'sleep 0.1'], cwd)
  if (!isRoot || probe.result.runs[0]!.peak.source !== 'cgroup-v1')
    return void t.pass('needs root and cgroup v1')
  const own = /:memory:(.*)/.exec(readFileSync('/proc/self/cgroup', 'utf8'))![1]
  const line = `echo $$ > /sys/fs/cgroup/memory${own}/cgroup.procs; exec sleep 1.2`
  const { result, stdout } = await runMeasure([line], cwd)
  t.match(result.runs[0]!.escaped, [{ cgroup: own }])
  t.match(stdout, /outside the cgroup, so not in the peak: /)
})

t.test('traps SIGINT: Ctrl-C reaches it, and the report is written', async (t) => {
  const cwd = folderFor(t)
  const line = `trap 'echo trapped > said; exit 4' INT; echo up > up; while :; do sleep 0.1; done`
  const byre = startMeasure(['--quiet', '--label', 'int', line], cwd)
  t.teardown(() => byre.kill())
  await eventually('the command to run', () => existsSync(join(cwd, 'up')))
  process.kill(byre.pid, 'SIGINT')
  t.same(await byre.exit, { code: 1, signal: null })
  t.equal(readFileSync(join(cwd, 'said'), 'utf8'), 'trapped\n')
  const result = parseResult((await byre.stdout.end()).join('\n'))!
  t.match(result, { interrupted: true, runs: [{ outcome: { kind: 'exited', code: 4 }, interrupted: true }] })
  t.ok(existsSync(join(cwd, '.byre/measure/result-int.json')))
})

t.test('ignores SIGINT: the second Ctrl-C kills its whole tree, and the report is written', async (t) => {
  const cwd = folderFor(t)
  const line = `trap '' INT; sleep 600 & echo $! > child; while :; do sleep 600; done`
  const byre = startMeasure(['--quiet', line], cwd)
  t.teardown(() => byre.kill())
  const child = await eventually(
    'its child',
    () => existsSync(join(cwd, 'child')) && Number(readFileSync(join(cwd, 'child'), 'utf8')),
  )
  process.kill(byre.pid, 'SIGINT')
  process.kill(byre.pid, 'SIGTERM')
  t.same(await byre.exit, { code: 1, signal: null })
  t.match(parseResult((await byre.stdout.end()).join('\n')), {
    interrupted: true,
    runs: [{ outcome: { kind: 'killed', signal: 'SIGKILL' } }],
  })
  t.notOk(isAlive(child))
})

t.test('byre is killed: the command ends too, and the next byre removes the cgroup', async (t) => {
  const cwd = folderFor(t)
  const byre = startMeasure(['--quiet', 'echo $$ > pid; sleep 600'], cwd)
  t.teardown(() => byre.kill())
  const pid = await eventually(
    'the command',
    () => existsSync(join(cwd, 'pid')) && Number(readFileSync(join(cwd, 'pid'), 'utf8')),
  )
  byre.child.kill('SIGKILL')
  await nextEvent(byre.child, 'exit').catch(() => {})
  await eventually('the command to end', () => !isAlive(pid))
  await runMeasure(['--json-only', 'true'], cwd)
  t.same(cgroupsLeft(), [])
})

t.test('the clock steps: durations do not', async (t) => {
  const cwd = folderFor(t)
  const step = join(cwd, 'step.mjs')
  writeFileSync(
    step,
    'let n = 0; const now = Date.now; Date.now = () => now() + (n++ % 2 === 0 ? -1e9 : 1e9)\n',
  )
  const { result } = await runMeasure(['--json-only', 'sleep 0.3'], cwd, { NODE_OPTIONS: `--import=${step}` })
  const { wallMs } = result.runs[0]!.metrics
  t.ok(wallMs! >= 300 && wallMs! < 20_000, String(wallMs))
})
