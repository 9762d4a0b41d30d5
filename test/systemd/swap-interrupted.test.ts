// A swap interrupted by a reboot or by a stop signal.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { createSwapHerd, GROUP, SINGLE } from '../helpers/swap-herd.ts'
import { startSystemd, systemdMissing, UNIT_ROOT } from '../helpers/systemd.ts'
import { CONFIG } from '../helpers/unit-herd.ts'

leakGuard(t)

t.test('an interrupted swap', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const { swap, killedSwap, up, openSwaps } = await createSwapHerd(systemd)
  t.test('the resume unit ends a swap interrupted by a reboot at the next boot', async (t) => {
    const [RESUME, BOOT] = ['byre-swap-resume@h.service', 'boot-again.target']
    await swap('--to', 'individual')
    await systemd.must(['systemctl', 'enable', RESUME, ...SINGLE])
    const wanted = '/etc/systemd/system/multi-user.target.wants'
    for (const [verb, phase] of [
      ['start', 'starting'],
      ['enable', 'finishing'],
    ] as const) {
      t.not((await killedSwap('supervised', `[ "$2" = ${verb} ]`, 'before')).code, 0)
      t.match((await swap('--to', 'supervised')).stderr, `interrupted while ${phase}`)
      // The machine goes down: only files survive. It boots with the enabled units.
      for (const unit of await up()) await systemd.must(['systemctl', 'stop', unit])
      const names = (await systemd.must(['ls', wanted])).split('\n').filter((name) => name.startsWith('byre'))
      await systemd.unit(BOOT, `[Unit]\nWants=${names.join(' ')}\n`)
      await systemd.must(['systemctl', 'start', BOOT])
      const side = phase === 'finishing' ? [GROUP] : SINGLE
      await systemd.becomes(RESUME, 'ActiveState', 'inactive')
      t.equal(await systemd.property(RESUME, 'Result'), 'success')
      t.same(await up(), side, phase)
      t.equal(await openSwaps(), '')
      await systemd.must(['systemctl', 'stop', BOOT])
    }
  })

  for (const signal of ['INT', 'TERM', 'HUP'])
    t.test(`SIG${signal} in the health window rolls back, and the output says so`, async (t) => {
      await swap('--to', 'individual')
      const unit = `swapper-${signal}.service`
      const command = [
        `${UNIT_ROOT}/units/byre`,
        'swap',
        '--to',
        'supervised',
        '--health',
        '1h',
        '--config',
        CONFIG,
      ]
      await systemd.must(['systemd-run', `--unit=${unit}`, '-p', 'RemainAfterExit=no', ...command])
      await systemd.journalWith(/watching for/, '-u', unit)
      t.same(await up(), [GROUP])
      await systemd.must(['systemctl', 'kill', '-s', signal, unit])
      const lines = await systemd.journalWith(/rolled back, 3 units as before/, '-u', unit)
      t.ok(lines.some((line) => line['MESSAGE']?.includes(`interrupted by SIG${signal}`)))
      await systemd.becomes(unit, 'ActiveState', 'failed')
      t.equal(await systemd.property(unit, 'ExecMainStatus'), '1')
      t.same(await up(), SINGLE)
      t.equal(await openSwaps(), '')
      t.equal(await systemd.property(GROUP, 'LoadState'), 'masked', 'as it was')
    })
})
