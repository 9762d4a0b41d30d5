// sd_notify and the watchdog under a real systemd: Type=notify, NotifyAccess=main, as a user without privileges.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { startSystemd, systemdMissing, UNIT_MOUNT, UNIT_ROOT } from '../helpers/systemd.ts'
import type { Systemd } from '../helpers/systemd.ts'

leakGuard(t)

const skip = systemdMissing()
const NODE = `${process.execPath} ${UNIT_ROOT}/test/fixtures/notify/unit.mjs`
const WRAPPED = `/usr/bin/perl ${UNIT_ROOT}/units/byre-notify.pl ${NODE}`
const UP = '17 running, 1 quarantined; last: webhook: running -> quarantined'

async function define(
  systemd: Systemd,
  mode: string,
  lines: readonly string[] = [],
  exec = WRAPPED,
): Promise<string> {
  const unit = `notify-${mode}.service`
  const fixed = ['Type=notify', 'NotifyAccess=main', 'User=nobody', UNIT_MOUNT, `Environment=MODE=${mode}`]
  await systemd.unit(unit, `[Service]\n${[...fixed, `ExecStart=${exec}`, ...lines].join('\n')}\n`)
  return unit
}

t.test('a Type=notify unit', { skip }, async (t) => {
  const systemd = await startSystemd(t)

  t.test(
    'READY, STATUS, reload and stop arrive from the main process of a user without privileges',
    async (t) => {
      const unit = await define(systemd, 'plain', ['WatchdogSec=10s', 'ExecReload=/bin/kill -HUP $MAINPID'])
      await systemd.must(['systemctl', 'start', unit])
      t.equal(await systemd.property(unit, 'StatusText'), UP)
      t.equal(await systemd.property(unit, 'ActiveState'), 'active')
      const [up] = (await systemd.journalWith(/^up/, '-t', 'byre')).slice(-1)
      t.match(up!['MESSAGE'], /kind=fd watchdogMs=5000/)
      t.notMatch(up!['MESSAGE'], /NOTIFY|WATCHDOG/, 'workers do not inherit the variables')

      await systemd.must(['systemctl', 'reload', '--no-block', unit])
      await systemd.becomes(unit, 'StatusText', 'reloading')
      t.equal(await systemd.property(unit, 'ActiveState'), 'reloading')
      await systemd.must(['systemctl', 'kill', '-s', 'USR1', unit])
      await systemd.becomes(unit, 'ActiveState', 'active')
      t.equal(await systemd.property(unit, 'StatusText'), 'reloaded READY=0')

      await systemd.must(['systemctl', 'daemon-reexec'])
      await systemd.must(['systemctl', 'reload', '--no-block', unit])
      await systemd.becomes(unit, 'StatusText', 'reloading')

      await systemd.must(['systemctl', 'stop', unit])
      t.equal(await systemd.property(unit, 'ActiveState'), 'inactive')
      t.equal(await systemd.property(unit, 'Result'), 'success')
    },
  )

  t.test('pings at half the interval keep the unit running', async (t) => {
    const unit = await define(systemd, 'plain', ['WatchdogSec=600ms'])
    await systemd.must(['systemctl', 'start', unit])
    await systemd.journalWith(/^pinged pings=8/, '-t', 'byre', '-u', unit)
    t.equal(await systemd.property(unit, 'ActiveState'), 'active')
    t.equal(await systemd.property(unit, 'NRestarts'), '0')
    await systemd.must(['systemctl', 'stop', unit])
    t.equal(await systemd.property(unit, 'Result'), 'success')
  })

  t.test('the watchdog kills a unit with a blocked loop', async (t) => {
    const unit = await define(systemd, 'block', ['WatchdogSec=600ms'])
    await systemd.must(['systemctl', 'start', unit])
    await systemd.becomes(unit, 'ActiveState', 'failed')
    t.equal(await systemd.property(unit, 'Result'), 'watchdog')
    t.equal(await systemd.property(unit, 'ExecMainStatus'), '6', 'SIGABRT')
  })

  t.test('a dead critical worker stops the pings, with the reason in the journal', async (t) => {
    const unit = await define(systemd, 'dead', ['WatchdogSec=600ms'])
    await systemd.must(['systemctl', 'start', unit])
    await systemd.becomes(unit, 'ActiveState', 'failed')
    t.equal(await systemd.property(unit, 'Result'), 'watchdog')
    await systemd.journalWith(/^watchdog pings stopped.*critical worker webhook is quarantined/, '-t', 'byre')
  })

  t.test('EXTEND_TIMEOUT_USEC extends TimeoutStopSec for a draining herd', async (t) => {
    const unit = await define(systemd, 'drain', ['TimeoutStopSec=500ms'])
    await systemd.must(['systemctl', 'start', unit])
    await systemd.must(['systemctl', 'stop', '--no-block', unit])
    await systemd.becomes(unit, 'StatusText', 'stopping: 1 of 2')
    t.equal(await systemd.property(unit, 'ActiveState'), 'deactivating')
    await systemd.becomes(unit, 'ActiveState', 'inactive')
    t.equal(await systemd.property(unit, 'Result'), 'success')
    await systemd.journalWith(/^stopped/, '-t', 'byre', '-u', unit)
  })

  t.test('without the wrapper: systemd-notify, which NotifyAccess=main accepts from root', async (t) => {
    const unit = await define(systemd, 'plain', ['User=root'], NODE)
    await systemd.must(['systemctl', 'start', unit])
    await systemd.becomes(unit, 'StatusText', UP)
    const entries = await systemd.journalWith(/SD_NOTIFY_FD is missing/, '-t', 'byre')
    t.match(
      entries.find((entry) => entry['MESSAGE']!.startsWith('SD_NOTIFY_FD is missing')),
      { PRIORITY: '4' },
    )
    await systemd.must(['systemctl', 'stop', unit])
    t.equal(await systemd.property(unit, 'ActiveState'), 'inactive')
  })

  t.test('without the wrapper and without privileges it needs NotifyAccess=all', async (t) => {
    const unit = await define(systemd, 'plain', ['NotifyAccess=all'], NODE)
    await systemd.must(['systemctl', 'start', unit])
    await systemd.becomes(unit, 'StatusText', UP)
    await systemd.must(['systemctl', 'stop', unit])
    const refused = await define(systemd, 'plain', ['TimeoutStartSec=1s'], NODE)
    t.not(
      (await systemd.exec(['systemctl', 'start', refused])).code,
      0,
      'READY from a process that is not the main one',
    )
    t.equal(await systemd.property(refused, 'Result'), 'timeout')
  })
})
