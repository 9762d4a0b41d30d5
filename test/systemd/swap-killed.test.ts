// A swap killed at each of its calls of systemctl.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { createSwapHerd, GROUP, SINGLE } from '../helpers/swap-herd.ts'
import { startSystemd, systemdMissing } from '../helpers/systemd.ts'

leakGuard(t)

t.test('a killed swap', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const { swap, killedSwap, up, openSwaps } = await createSwapHerd(systemd)
  t.test('a swap killed at any step ends on one of its two sides after --resume', async (t) => {
    await systemd.must(['systemctl', 'start', ...SINGLE])
    let side = 'supervised'
    // The first calls only read state; after the last call nothing is killed, and every step has been covered.
    for (let call = 3, killed = true; killed; call++) {
      const when = call % 2 === 0 ? 'before' : 'after'
      killed = (await killedSwap(side, `[ $calls -eq ${call} ]`, when)).code !== 0
      const again = killed ? await swap('--to', 'individual', '--dry-run') : undefined
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
})
