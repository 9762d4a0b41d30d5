// A swap under adverse conditions: a full disk, units that were stopped, masked or failing before, sockets, an invalid
// journal.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { createSwapHerd, GROUP, SINGLE } from '../helpers/swap-herd.ts'
import { startSystemd, systemdMissing, UNIT_ROOT } from '../helpers/systemd.ts'
import { CONFIG } from '../helpers/unit-herd.ts'

leakGuard(t)

const [ONE, TWO, THREE] = SINGLE as [string, string, string]
const UNITS = '/etc/systemd/system'
const JOURNALS = '/var/lib/byre-swap'

t.test('a swap under adverse conditions', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const herd = await createSwapHerd(systemd)
  const { swap, up, openSwaps, killedSwap } = herd
  const sh = async (script: string): Promise<string> => systemd.must(['sh', '-c', script])
  const state = async (unit: string): Promise<string> => {
    const { stdout } = await systemd.exec(['systemctl', 'is-enabled', unit])
    return `${await systemd.property(unit, 'ActiveState')} ${stdout}`
  }
  /** Makes `unit` run another command; called without one, restores it. */
  const dropIn = async (unit: string, lines: string): Promise<string> =>
    sh(
      lines === ''
        ? `rm -r '${UNITS}/${unit}.d' && systemctl daemon-reload`
        : `mkdir -p '${UNITS}/${unit}.d' && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n${lines}' >'${UNITS}/${unit}.d/x.conf' && systemctl daemon-reload`,
    )
  await systemd.must(['systemctl', 'enable', '--now', ...SINGLE])

  t.test('a disk that fills up during a swap: the swap is rolled back', async (t) => {
    // Space for one journal, but not for a second one next to it.
    await sh(`mkdir -p ${JOURNALS} && mount -t tmpfs -o size=4k none ${JOURNALS}`)
    const { code, stdout } = await swap('--to', 'supervised')
    t.equal(code, 1)
    t.match(stdout, /rolled back, 3 units as before: ENOSPC/)
    t.same(await up(), SINGLE)
    t.equal(await openSwaps(), '')
    await sh(`umount ${JOURNALS}`)
  })

  t.test('a stopped and disabled unit is still so after a swap and a swap back', async (t) => {
    await systemd.must(['systemctl', 'disable', '--now', THREE])
    const plan = await swap('--to', 'supervised', '--dry-run')
    t.match(plan.stdout, `(${THREE} not running now: its worker will run in the group)`)
    t.match(await swap('--to', 'supervised'), { code: 0 })
    t.equal(await state(GROUP), 'active enabled')
    const back = await swap('--to', 'individual', '--dry-run')
    t.match(back.stdout, `(${THREE} stays down: it was masked, or not running when the group took over)`)
    t.match(await swap('--to', 'individual'), { code: 0 })
    t.same(await Promise.all(SINGLE.map(state)), ['active enabled', 'active enabled', 'inactive disabled'])
    await systemd.must(['systemctl', 'enable', '--now', THREE])
  })

  t.test(
    'units that were made for other workers are refused on both sides, and nothing is stopped',
    async (t) => {
      const four = { group: 'batch', like: 'steady' }
      await herd.configure({ one: four, two: four, three: four, four })
      const grown = await swap('--to', 'supervised')
      t.match(grown, { code: 4, stderr: `${GROUP} does not match the workers` })
      t.match(grown.stderr, /: it lacks four\. Make the units again/)
      await herd.configure({ one: four, two: four })
      t.match(await swap('--to', 'supervised', '--dry-run'), {
        code: 4,
        stderr: /: it still has three\. Make/,
      })
      await herd.configureThree()
      t.same(await up(), SINGLE)
      t.match(await swap('--to', 'supervised'), { code: 0 })
      await sh(`touch ${UNITS}/${GROUP}`)
      t.match(await swap('--to', 'individual'), {
        code: 4,
        stderr: /an older version of its file\. Run systemctl d/,
      })
      await systemd.must(['systemctl', 'daemon-reload'])
      // The group's reload adds it.
      await herd.configure({ one: four, two: four, three: four, four })
      t.match(await swap('--to', 'individual'), { code: 4, stderr: /it lacks four/ })
      t.same(await up(), [GROUP])
      await herd.configureThree()
      t.match(await swap('--to', 'individual'), { code: 0 })
      t.same(await up(), SINGLE)
    },
  )

  t.test('a unit between two restarts does not block a rollback', async (t) => {
    await dropIn(THREE, 'Restart=always\\nRestartSec=1h\\n')
    await dropIn(GROUP, 'Restart=no\\n')
    await systemd.exec(['systemctl', 'restart', THREE])
    await systemd.becomes(THREE, 'ActiveState', 'activating')
    const { code, stdout, stderr } = await swap('--to', 'supervised')
    t.equal(code, 1)
    t.match(stdout, /rolled back, 2 units as before: systemctl start failed/, stderr)
    t.same(await up(), [ONE, TWO])
    await systemd.becomes(THREE, 'ActiveState', 'activating')
    t.equal(await openSwaps(), '')
    await dropIn(THREE, '')
    await dropIn(GROUP, '')
    await systemd.must(['systemctl', 'restart', THREE])
  })

  t.test("the operator's masks stay: a single unit stays down, a group is refused", async (t) => {
    await systemd.must(['systemctl', 'stop', THREE])
    await sh(`mv ${UNITS}/${THREE} ${UNITS}/${GROUP} /usr/lib/systemd/system && systemctl mask ${THREE}`)
    t.match(await swap('--to', 'supervised'), { code: 0 })
    t.match(await swap('--to', 'individual'), { code: 0 })
    t.same(await up(), [ONE, TWO])
    await sh(`rm -f ${UNITS}.control/* && systemctl daemon-reload && systemctl mask ${GROUP}`)
    const { code, stderr } = await swap('--to', 'supervised')
    t.equal(code, 4)
    t.match(stderr, /is masked, and not by byre swap.*Remove the mask with systemctl unmask/)
    t.same(await up(), [ONE, TWO], 'nothing was touched')
    await sh(
      `systemctl unmask ${GROUP} ${THREE} && mv /usr/lib/systemd/system/${GROUP} /usr/lib/systemd/system/${THREE} ${UNITS} && systemctl daemon-reload && systemctl enable --now ${THREE}`,
    )
  })

  t.test('a socket is stopped and restored with the side it starts', async (t) => {
    const socket = ONE.replace('.service', '.socket')
    await systemd.must(['systemctl', 'stop', ONE])
    await sh(
      `printf '[Socket]\\nListenStream=/run/one.sock\\n' >${UNITS}/${socket} && systemctl daemon-reload`,
    )
    await systemd.must(['systemctl', 'start', socket, ONE])
    t.match(await swap('--to', 'supervised'), { code: 0 })
    t.equal(await systemd.property(socket, 'ActiveState'), 'inactive')
    t.equal(await systemd.property(socket, 'LoadState'), 'masked')
    t.match(await swap('--to', 'individual'), { code: 0 })
    t.equal(await systemd.property(socket, 'ActiveState'), 'active')
    t.same(await up(), SINGLE)
    await systemd.must(['systemctl', 'stop', socket, ONE])
    await sh(`rm ${UNITS}/${socket} && systemctl daemon-reload && systemctl start ${ONE}`)
  })

  t.test(
    'a journal that cannot be read keeps no other group down, and --resume needs no config',
    async (t) => {
      t.not((await killedSwap('supervised', '[ "$2" = start ]', 'before')).code, 0)
      t.same(await up(), [])
      await sh(`echo nonsense >${JOURNALS}/h/aaa.json`)
      const unit = 'byre-swap-resume@h.service'
      await systemd.exec(['systemctl', 'start', unit])
      await systemd.becomes(unit, 'ActiveState', 'failed')
      t.same(await up(), SINGLE)
      t.equal(await openSwaps(), 'aaa.json')
      await systemd.journalWith(/aaa.json.*is not a journal of this version/, '-u', unit)
      await sh(`rm ${JOURNALS}/h/aaa.json && systemctl start ${unit}`)
      t.notMatch(await systemd.property(unit, 'ExecStart'), CONFIG, 'it may have moved')
      t.match(await swap('--resume', '--herd', '../h'), { code: 2, stderr: /--herd: the name must have/ })
      t.match(await swap('--to', 'supervised', '--herd', 'h'), { code: 2 })
    },
  )

  t.test('memory that the user may not read is reported as unreadable', async (t) => {
    const nobody = ['setpriv', '--reuid=1', '--regid=1', '--clear-groups']
    const command = [`${UNIT_ROOT}/units/byre`, 'swap', '--to', 'supervised', '--config', CONFIG]
    const { code, stdout } = await systemd.exec([...nobody, ...command, '--dry-run'])
    t.equal(code, 0)
    t.match(stdout, /\(3 units \(only root may read their memory\) running now\):/)
    const { before } = JSON.parse((await systemd.exec([...nobody, ...command, '--dry-run', '--json'])).stdout)
    t.match(before, { units: 3, unreadable: 3 })
    t.notOk('pssBytes' in before)
    t.match(await systemd.exec([...nobody, ...command]), { code: 1, stderr: /Cannot swap as user 1/ })
  })
})
