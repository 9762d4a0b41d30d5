// Notifications of a hosted herd to a real systemd, started by units/byre as an unprivileged user.
import t from 'tap'
import { eventually, SLOWNESS } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { startSystemd, systemdMissing, UNIT_ROOT } from '../helpers/systemd.ts'
import { CONFIG, createUnitHerd, UNIT_LINES } from '../helpers/unit-herd.ts'

leakGuard(t)

const UNIT = 'h.service'

t.test('byre notifies systemd', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const herd = await createUnitHerd(systemd)
  await systemd.unit(
    UNIT,
    [
      '[Service]',
      'Type=notify',
      'NotifyAccess=main',
      `WatchdogSec=${2 * SLOWNESS}s`,
      `TimeoutStopSec=${500 * SLOWNESS}ms`,
      ...UNIT_LINES,
      `ExecStart=${UNIT_ROOT}/units/byre supervise --group default --config ${CONFIG}`,
      'ExecReload=/bin/kill -HUP $MAINPID',
      '',
    ].join('\n'),
  )
  const told = (text: RegExp): Promise<unknown> =>
    eventually(`STATUS ${text}`, async () => {
      const status = await systemd.property(UNIT, 'StatusText')
      return text.test(status) ? status : undefined
    })

  t.test('READY comes when every eager worker is ready, with the counts', async (t) => {
    await herd.configure({ steady: {}, flaky: { backoff: { first: '60s', max: '60s' } } })
    await systemd.must(['systemctl', 'start', UNIT])
    t.equal(await systemd.property(UNIT, 'StatusText'), '2 running')
    t.equal(await systemd.property(UNIT, 'ActiveState'), 'active')
    const main = Number(await systemd.property(UNIT, 'MainPID'))
    t.equal((await herd.status('default')).pid > 0, true)
    t.ok(main > 0)
    const environment = await systemd.must(['cat', `/proc/${main}/cmdline`])
    t.match(environment, /^node\0--max-semi-space-size=1\0/, 'the main process is node itself')
  })

  t.test('a failure is in STATUS, and the watchdog is pinged', async (t) => {
    t.equal(await systemd.property(UNIT, 'WatchdogUSec'), `${2 * SLOWNESS}s`)
    await herd.go('flaky')
    await told(/^1 running, 1 backing-off; last: flaky: running -> backing-off: .*told to fail/)
    t.equal(await systemd.property(UNIT, 'NRestarts'), '0')
  })

  t.test('a config broken at reload: the old one runs, the error is in STATUS and in the log', async () => {
    await systemd.must([
      'sh',
      '-c',
      `cp ${CONFIG} ${CONFIG}.good && echo '{"name":"h","workrs":{}}' >${CONFIG}`,
    ])
    await systemd.must(['systemctl', 'reload', UNIT])
    await told(/^reload failed, the old config stays active: .*workrs.*; 1 running/)
    await systemd.becomes(UNIT, 'ActiveState', 'active')
    await systemd.journalWith(/^reload failed; the old config stays active/, '-t', 'byre')
    await systemd.must(['mv', `${CONFIG}.good`, CONFIG])
    await systemd.must(['systemctl', 'reload', UNIT])
    await told(/^1 running, 1 backing-off/)
    await systemd.becomes(UNIT, 'ActiveState', 'active')
  })

  t.test('reload adds, removes and changes workers and does not restart the others', async (t) => {
    const before = await herd.status('default')
    const startedAt = (status: typeof before): unknown =>
      status.workers.find(({ name }) => name === 'steady')!.startedAt
    await herd.configure({ steady: {}, second: { like: 'steady' } })
    await systemd.must(['systemctl', 'reload', UNIT])
    const added = await herd.until('default', 'second instead of flaky', ({ workers }) =>
      workers.every(({ name, state }) => name !== 'flaky' && state === 'running'),
    )
    await herd.configure({ steady: {}, second: { like: 'steady', config: { changed: true } } })
    await systemd.must(['systemctl', 'reload', UNIT])
    const changedAt = added.workers.find(({ name }) => name === 'second')!.startedAt!
    const changed = await herd.until('default', 'second is started again', ({ workers }) =>
      workers.some(
        ({ name, state, startedAt: at }) => name === 'second' && state === 'running' && at! > changedAt,
      ),
    )
    t.equal(startedAt(changed), startedAt(before))
    t.equal(changed.pid, before.pid)
    await told(/^2 running/)
  })

  t.test(
    'a stop longer than TimeoutStopSec is given the time the workers may take, and ends inactive',
    async (t) => {
      await herd.configure({ steady: {}, stubborn: { stopTimeout: `${1500 * SLOWNESS}ms` } })
      await systemd.must(['systemctl', 'restart', UNIT])
      await systemd.must(['systemctl', 'stop', '--no-block', UNIT])
      await told(/^stopping: requested by SIGTERM/)
      await systemd.becomes(UNIT, 'ActiveState', 'inactive')
      t.equal(await systemd.property(UNIT, 'Result'), 'success')
      await systemd.journalWith(/^unstopped: stubborn/, '-t', 'byre')
    },
  )
})
