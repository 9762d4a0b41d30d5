// The swap in a real systemd: both directions, rolled back, refused.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { createSwapHerd, GROUP, SINGLE } from '../helpers/swap-herd.ts'
import { startSystemd, systemdMissing } from '../helpers/systemd.ts'
import { CONFIG, createUnitHerd } from '../helpers/unit-herd.ts'

leakGuard(t)

t.test('a swap', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const herd = await createSwapHerd(systemd)
  const { swap, up, openSwaps } = herd
  const enabled = async (unit: string): Promise<string> =>
    (await systemd.exec(['systemctl', 'is-enabled', unit])).stdout
  t.test('a dry run prints the plan and changes nothing', async (t) => {
    await systemd.must(['systemctl', 'enable', '--now', ...SINGLE])
    const { code, stdout } = await swap('--to', 'supervised', '--dry-run')
    t.equal(code, 0)
    t.match(stdout, /^plan for the swap of h\/batch to supervised \(3 units of [\d.]+ MB PSS running now\):/)
    t.match(stdout, 'stop 3 units and mask 3 units')
    t.match(
      stdout,
      /projected: [\d.]+ MB of PSS with the 1 module of its workers loaded .* \([\d.]+ %\) less/,
    )
    const { before, projected } = JSON.parse((await swap('--to', 'supervised', '--dry-run', '--json')).stdout)
    t.match(projected, { pssBytes: Number, anonBytes: Number, modules: 1 })
    t.ok(
      projected.pssBytes < before.pssBytes && projected.pssBytes > before.pssBytes / 6,
      JSON.stringify(projected),
    )
    t.same(await up(), SINGLE)
  })

  t.test(
    'swap to the group: both sides are measured, the other side is masked, the group is enabled at boot',
    async (t) => {
      const { code, stdout, stderr } = await swap('--to', 'supervised', '--json')
      t.equal(code, 0, stderr)
      const { outcome, saved } = JSON.parse(stdout)
      t.match(outcome, {
        kind: 'swapped',
        before: { units: 3, processes: 3 },
        after: { units: 1, processes: 1 },
      })
      t.equal(saved.pssBytes, outcome.before.pssBytes - outcome.after.pssBytes)
      t.same(await up(), [GROUP])
      t.equal(await enabled(GROUP), 'enabled')
      t.equal(await systemd.property(SINGLE[0]!, 'LoadState'), 'masked')
      t.equal(await openSwaps(), '')
      t.not((await systemd.exec(['systemctl', 'start', SINGLE[0]!])).code, 0, 'a stray start')
      t.same(await up(), [GROUP], 'stops nobody')
      t.match((await swap('--to', 'supervised')).stdout, /this side runs already/)
    },
  )

  t.test('swap back to single units restores their previous state', async (t) => {
    const { code, stdout, stderr } = await swap('--to', 'individual')
    t.equal(code, 0, stderr)
    t.match(stdout, /^ +before +1 +1 /m)
    t.match(stdout, /^ +after +3 +3 /m)
    t.same(await up(), SINGLE)
    t.equal(await systemd.property(GROUP, 'LoadState'), 'masked')
    for (const unit of SINGLE) t.equal(await enabled(unit), 'enabled')
  })

  t.test('a group that fails in the health window is rolled back to what ran before', async (t) => {
    await systemd.must(['systemctl', 'stop', SINGLE[2]!])
    await herd.configureThree({ like: 'failing', ready: 'call' })
    const { code, stdout } = await swap('--to', 'supervised')
    t.equal(code, 1)
    t.match(stdout, /rolled back, 2 units as before: worker three is .*told to fail/)
    t.same(await up(), SINGLE.slice(0, 2), 'what was stopped stays stopped')
    t.equal(await openSwaps(), '')
    await herd.configureThree()
    await systemd.must(['systemctl', 'start', SINGLE[2]!])
  })

  t.test('a group that cannot start is rolled back', async (t) => {
    await systemd.must([
      'sh',
      '-c',
      `cp ${CONFIG} /srv/herd/good.json && mkdir -p /etc/systemd/system/${GROUP}.d && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestart=no\\n' >/etc/systemd/system/${GROUP}.d/x.conf`,
    ])
    const { code, stdout } = await swap('--to', 'supervised')
    t.equal(code, 1)
    t.match(stdout, /rolled back, 3 units as before: systemctl start failed/)
    t.same(await up(), SINGLE)
    await systemd.must(['rm', '-r', `/etc/systemd/system/${GROUP}.d`])
    await systemd.must(['systemctl', 'daemon-reload'])
  })

  t.test('two swaps at once: the second is refused', async (t) => {
    const [a, b] = await Promise.all([swap('--to', 'supervised'), swap('--to', 'supervised')])
    const refused = [a, b].find(({ code }) => code === 1)
    t.match(refused?.stderr, /another byre swap of herd 'h' is running/)
    t.same(await up(), [GROUP])
  })
})

t.test('missing units are reported by name', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const herd = await createUnitHerd(systemd)
  await herd.configure({ steady: {} })
  t.match(await herd.byre('swap', '--to', 'supervised'), {
    code: 4,
    stderr: /byre-h-default.service.*is not installed/,
  })
  t.match(await herd.byre('swap'), { code: 2 })
  t.match(await herd.byre('swap', '--resume'), { code: 0, stdout: 'no swap of h was interrupted' })
})
