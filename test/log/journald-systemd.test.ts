// The log of a unit under a real systemd.
import t from 'tap'
import { eventually, SLOWNESS } from '../helpers/events.ts'
import { PROJECT_ROOT, startSystemd, systemdMissing, UNIT_MOUNT, UNIT_ROOT } from '../helpers/systemd.ts'
import type { Entry } from '../helpers/systemd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const skip = systemdMissing()
/** Matches timestamps: ISO dates, clock times, milliseconds since the epoch. */
const TIME = /\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|\b1\d{12}\b/

const brief = (entries: readonly Entry[]): string[] =>
  entries.map((entry) => `${entry['PRIORITY']} ${entry['MESSAGE']}`)

for (const user of ['root', 'nobody']) {
  t.test(`journalctl -t byre-<worker> shows one worker, as ${user}`, { skip }, async (t) => {
    const systemd = await startSystemd(t)
    const unit = `log-${user}.service`
    await systemd.unit(
      unit,
      `[Service]\nUser=${user}\n${UNIT_MOUNT}\nExecStart=${process.execPath} ${UNIT_ROOT}/test/fixtures/log/unit.mjs\n`,
    )
    await systemd.must(['systemctl', 'start', unit])
    const alpha = await systemd.journalWith(/backing-off/, '-t', 'byre-alpha')
    t.same(
      brief(alpha).map((line) => line.replace(/ err\.stack=.*/, ' STACK')),
      [
        '7 fine',
        '6 delivered ms=12 url="http://a/b?c=d"',
        String.raw`4 two\nlines`,
        '3 failed err.type=TypeError err.message=broken STACK',
        '2 the end',
        '4 running -> backing-off: it threw event=transition from=running to=backing-off reason="it threw"',
      ],
    )
    t.match(alpha[3]!['MESSAGE'], /err\.stack="TypeError: broken\\n {4}at /)
    t.same(brief(await systemd.journalWith(/beta/, '-t', 'byre-beta')), ['6 from beta'])
    t.same(brief(await systemd.journalWith(/gamma/, '-t', 'byre')), [
      '6 herd up format=journal',
      '6 [gamma] not active',
    ])

    await systemd.must(['systemctl', 'kill', '-s', 'USR1', unit])
    const again = await systemd.journalWith(/after the signal/, '-t', 'byre-alpha')
    t.match(
      again.at(-1),
      { MESSAGE: 'after the signal streams=3' },
      'one connection per active worker and one of byre',
    )
    t.match(again.at(-1), { _SYSTEMD_UNIT: unit, SYSLOG_IDENTIFIER: 'byre-alpha', _TRANSPORT: 'stdout' })

    await systemd.must(['systemctl', 'restart', 'systemd-journald'])
    await systemd.must(['systemctl', 'kill', '-s', 'USR1', unit])
    await eventually('a line after the restart of journald', async () => {
      const entries = await systemd.journal('-t', 'byre-alpha')
      return entries.filter((entry) => /after the signal/.test(entry['MESSAGE'] ?? '')).length === 2
    })

    await systemd.must(['systemctl', 'stop', unit])
    t.equal(await systemd.property(unit, 'ActiveState'), 'inactive')
    const byre = await systemd.journalWith(/last words/, '-t', 'byre')
    t.same(brief(byre).slice(-2), ['6 [alpha] after its end', '2 last words'])
    const all = await systemd.journal('-u', unit, '-t', 'byre', '-t', 'byre-alpha', '-t', 'byre-beta')
    t.ok(all.length > 10)
    for (const entry of all) t.notMatch(entry['MESSAGE'], TIME, 'the journal has the time already')
    t.same(
      (await systemd.journal('_SYSTEMD_UNIT=' + unit)).filter(
        (e) => !e['SYSLOG_IDENTIFIER']!.startsWith('byre'),
      ),
      [],
      'nothing on stdout outside the streams',
    )
  })
}

t.test('a child of a unit with redirected output ignores $JOURNAL_STREAM', { skip }, async (t) => {
  const systemd = await startSystemd(t)
  const script = `${process.execPath} ${PROJECT_ROOT}/test/fixtures/log/unit.mjs >/tmp/redirected & sleep ${SLOWNESS}; kill $!; wait $!`
  await systemd.must(['systemd-run', '--wait', '-q', 'sh', '-c', script])
  const lines = (await systemd.must(['cat', '/tmp/redirected'])).split('\n')
  t.match(JSON.parse(lines[0]!), { msg: 'herd up', format: 'json' })
  t.same(await systemd.journal('-t', 'byre'), [])
})
