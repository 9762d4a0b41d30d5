// A swap whose swapper is killed, at each call of systemctl it makes.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { startSystemd, systemdMissing, UNIT_ROOT } from '../helpers/systemd.ts'
import type { Exec } from '../helpers/systemd.ts'
import { CONFIG, createUnitHerd } from '../helpers/unit-herd.ts'

leakGuard(t)

const GROUP = 'byre-h-batch.service'
const SINGLE = ['byre-h@one.service', 'byre-h@two.service', 'byre-h@three.service']

t.test('a killed swap', { skip: systemdMissing() }, async (t) => {
  // a network of its own: the lock of a swap is a name in it
  const systemd = await startSystemd(t, ['-N'])
  const herd = await createUnitHerd(systemd)
  const same = { like: 'steady', group: 'batch' }
  await herd.configure({ one: same, two: same, three: { ...same, after: ['one'] } })
  await herd.install()
  const swap = (...args: string[]): Promise<Exec> => herd.byre('swap', '--health', '100ms', ...args)
  const up = async (): Promise<string[]> => {
    const states = await Promise.all([GROUP, ...SINGLE].map((unit) => systemd.property(unit, 'ActiveState')))
    return [GROUP, ...SINGLE].filter((_, i) => states[i] === 'active')
  }
  const journal = async (): Promise<string> => (await systemd.exec(['ls', '/var/lib/byre-swap/h'])).stdout
  /** systemctl that counts its calls, and kills who called it at the one that $1 says, before or after doing it. */
  const killAt = async (call: number, when: 'before' | 'after'): Promise<void> => {
    await systemd.must(
      [
        'sh',
        '-c',
        'mkdir -p /opt/killer && cat >/opt/killer/systemctl && chmod 755 /opt/killer/systemctl && echo 0 >/opt/killer/calls',
      ],
      `#!/bin/sh
calls=$(($(cat /opt/killer/calls) + 1))
echo $calls >/opt/killer/calls
[ "$calls ${when}" != "${call} before" ] || kill -9 $PPID
[ "$calls ${when}" != "${call} before" ] || exit 1
/usr/bin/systemctl "$@"
code=$?
[ "$calls ${when}" != "${call} after" ] || kill -9 $PPID
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
      await killAt(call, when)
      killed = (await killedSwap(side)).code !== 0
      const again = killed ? await swap('--to', side, '--dry-run') : undefined
      const resumed = await swap('--resume')
      t.equal(resumed.code, 0, `${side}, killed ${when} call ${call}: ${resumed.stdout}${resumed.stderr}`)
      if (/interrupted while/.test(resumed.stdout)) t.match(again!.stderr, /End it with byre swap --resume/)
      const now = await up()
      const sides = [[GROUP], SINGLE].map((units) => units.join())
      t.ok(sides.includes(now.join()), now.join())
      t.equal(await journal(), '')
      side = now.length === 1 ? 'individual' : 'supervised'
    }
  })
})
