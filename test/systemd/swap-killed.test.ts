// A swap whose swapper is killed, at each call of systemctl it makes, or is told to stop; and what a boot makes of it.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { createSwapHerd, GROUP, SINGLE } from '../helpers/swap-herd.ts'
import { startSystemd, systemdMissing, UNIT_ROOT } from '../helpers/systemd.ts'
import type { Exec } from '../helpers/systemd.ts'
import { CONFIG } from '../helpers/unit-herd.ts'

leakGuard(t)

t.test('a killed swap', { skip: systemdMissing() }, async (t) => {
  // a network of its own: the lock of a swap is a name in it
  const systemd = await startSystemd(t, ['-N'])
  const herd = await createSwapHerd(systemd)
  const { swap, up, openSwaps } = herd
  /** systemctl that counts its calls in `$calls`, and kills who called it when `condition` holds, before or after doing it. */
  const killWhen = async (condition: string, when: 'before' | 'after'): Promise<void> => {
    await systemd.must(
      [
        'sh',
        '-c',
        'mkdir -p /opt/killer && cat >/opt/killer/systemctl && chmod 755 /opt/killer/systemctl && echo 0 >/opt/killer/calls',
      ],
      `#!/bin/sh
calls=$(($(cat /opt/killer/calls) + 1))
echo $calls >/opt/killer/calls
${when === 'before' ? `if ${condition}; then kill -9 $PPID; exit 1; fi` : ''}
/usr/bin/systemctl "$@"
code=$?
${when === 'after' ? `if ${condition}; then kill -9 $PPID; fi` : ''}
exit $code
`,
    )
  }
  const killedSwap = (to: string): Promise<Exec> =>
    systemd.exec([
      'env',
      'PATH=/opt/killer:/usr/local/bin:/usr/bin:/bin',
      `${UNIT_ROOT}/units/byre`,
      'swap',
      '--to',
      to,
      '--health',
      '100ms',
      '--config',
      CONFIG,
    ])

  t.test('killed at any step, a swap ends after --resume on one of its two sides', async (t) => {
    await systemd.must(['systemctl', 'start', ...SINGLE])
    let side = 'supervised'
    // The first calls only look; beyond the last one nobody is killed, and every step has had its turn.
    for (let call = 3, killed = true; killed; call++) {
      const when = call % 2 === 0 ? 'before' : 'after'
      await killWhen(`[ $calls -eq ${call} ]`, when)
      killed = (await killedSwap(side)).code !== 0
      const again = killed ? await swap('--to', side, '--dry-run') : undefined
      const resumed = await swap('--resume')
      t.equal(resumed.code, 0, `${side}, killed ${when} call ${call}: ${resumed.stdout}${resumed.stderr}`)
      if (/interrupted while/.test(resumed.stdout)) t.match(again!.stderr, /End it with byre swap --resume/)
      const now = await up()
      const sides = [[GROUP], SINGLE].map((units) => units.join())
      t.ok(sides.includes(now.join()), now.join())
      t.equal(await openSwaps(), '')
      side = now.length === 1 ? 'individual' : 'supervised'
    }
  })

  t.test('what a reboot interrupts, the unit for it ends at the next boot', async (t) => {
    const [RESUME, BOOT] = ['byre-swap-resume@h.service', 'boot-again.target']
    await swap('--to', 'individual')
    await systemd.must(['systemctl', 'enable', RESUME, ...SINGLE])
    const wanted = '/etc/systemd/system/multi-user.target.wants'
    for (const [verb, phase] of [
      ['start', 'starting'],
      ['enable', 'settling'],
    ] as const) {
      await killWhen(`[ "$2" = ${verb} ]`, 'before')
      t.not((await killedSwap('supervised')).code, 0)
      t.match((await swap('--to', 'supervised')).stderr, `interrupted while ${phase}`)
      // The machine goes down: what is on disk stays. It comes up with what is enabled.
      for (const unit of await up()) await systemd.must(['systemctl', 'stop', unit])
      const names = (await systemd.must(['ls', wanted])).split('\n').filter((name) => name.startsWith('byre'))
      await systemd.unit(BOOT, `[Unit]\nWants=${names.join(' ')}\n`)
      await systemd.must(['systemctl', 'start', BOOT])
      const side = phase === 'settling' ? [GROUP] : SINGLE
      await systemd.becomes(RESUME, 'ActiveState', 'inactive')
      t.equal(await systemd.property(RESUME, 'Result'), 'success')
      t.same(await up(), side, phase)
      t.equal(await openSwaps(), '')
      await systemd.must(['systemctl', 'stop', BOOT])
    }
  })

  for (const signal of ['INT', 'TERM'])
    t.test(`SIG${signal} in the health window rolls back, and says so`, async (t) => {
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
      t.ok(lines.some((line) => line['MESSAGE']?.includes(`asked to stop by SIG${signal}`)))
      await systemd.becomes(unit, 'ActiveState', 'failed')
      t.equal(await systemd.property(unit, 'ExecMainStatus'), '1')
      t.same(await up(), SINGLE)
      t.equal(await openSwaps(), '')
      t.equal(await systemd.property(GROUP, 'LoadState'), 'masked', 'as it was')
    })
})
