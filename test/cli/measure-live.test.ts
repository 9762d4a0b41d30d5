// The status line of `byre measure` on a real terminal, which script(1) provides.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'
import { liveText } from '../../src/cli/commands/measure-live.ts'
import { CLEAN_PATH, runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { BIN, folderFor } from '../helpers/measure.ts'

leakGuard(t)

const SCRIPT = '/usr/bin/script'
const HOLD = `perl -e 'vec($x, 60000000, 8) = 1; select undef, undef, undef, 0.6'`
const LINE = /[\d.]+ MB now, [\d.]+ MB peak, [^,]+, \d+ s/

t.test('the line shows the current memory, the peak, the largest stage and the time', async (t) => {
  const one = {
    pid: 1,
    name: 'p',
    command: 'p',
    ussBytes: 0,
    rssBytes: 0,
    anonBytes: 0,
    cpuMs: 0,
    startTicks: 1,
  }
  const sample = {
    atMs: 12_400,
    processes: [
      { ...one, stage: 'types', pssBytes: 100e6 },
      { ...one, stage: 'bundle', pssBytes: 312e6 },
    ],
  }
  t.equal(liveText(sample, 412e6, 602.3e6), '412.0 MB now, 602.3 MB peak, bundle, 12 s')
})

t.test(
  'on a terminal the line is overwritten in place, fits the width, and is removed before the summary',
  { skip: existsSync(SCRIPT) ? false : 'there is no script(1)' },
  async (t) => {
    const cwd = folderFor(t)
    const inner = `stty cols 40 && ${process.execPath} ${BIN} measure --stage hold=perl "$COMMAND"`
    const done = spawnSync(
      '/usr/bin/env',
      ['-i', `PATH=${CLEAN_PATH}`, `HOME=${cwd}`, `COMMAND=${HOLD}`, SCRIPT, '-qec', inner, '/dev/null'],
      { cwd, encoding: 'utf8', timeout: 60_000 },
    )
    t.equal(done.status, 0, done.stdout + done.stderr)
    const summary = done.stdout.indexOf('sampled ')
    const pieces = done.stdout.slice(0, summary).split('\r\x1b[K')
    const lines = pieces.filter((piece) => / MB now/.test(piece))
    t.ok(lines.length >= 2, JSON.stringify(pieces))
    for (const line of lines) t.ok(line.length < 40 && !line.includes('\n'), JSON.stringify(line))
    t.match(lines.join(), /1\/1 warm [\d.]+ MB now, [\d.]+ MB peak/)
    t.notMatch(pieces.at(-1), / MB now/, 'the line is cleared')
  },
)

t.test('without a terminal and with --json-only there is no status line', async (t) => {
  for (const more of [[], ['--json-only']]) {
    const done = await runCleanNode([BIN, 'measure', ...more, HOLD], { cwd: folderFor(t), timeoutMs: 60_000 })
    t.equal(done.code, 0, done.stderr)
    t.notMatch(done.stdout + done.stderr, '\x1b')
    t.notMatch(done.stderr, LINE)
  }
})
