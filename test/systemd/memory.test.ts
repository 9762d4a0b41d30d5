// Limits of memory in the units `byre units` makes: what the kernel counts, and what byre makes of a cgroup that is delegated.
import t from 'tap'
import { eventually, SLOWNESS } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { hasCgroup2, startSystemd, systemdMissing } from '../helpers/systemd.ts'
import { createUnitHerd } from '../helpers/unit-herd.ts'

leakGuard(t)

const MIB = 1_048_576
const HIGH = 'byre-h-high.service'
const BOUNDED = 'byre-h-bounded.service'
/** On cgroup v1 systemd delegates to root alone. */
const USER = hasCgroup2() ? 'nobody' : 'root'

t.test('memory', { skip: systemdMissing() }, async (t) => {
  const systemd = await startSystemd(t)
  const herd = await createUnitHerd(systemd)
  const bounded = { group: 'bounded', placement: 'process' } as const
  await herd.configure(
    {
      hog: { ...bounded, memoryMax: '120MiB', restart: 'never' },
      neighbour: { ...bounded, like: 'steady', memoryMax: '200MiB' },
      sibling: { group: 'bounded', like: 'steady' },
      eater: { group: 'high' },
    },
    { groups: { high: { memoryHigh: '160MiB', memoryMax: '1GiB' } } },
  )
  await herd.install('--watchdog', `${10 * SLOWNESS}s`, '--user', USER)

  t.test(`a group that bounds a process: it alone is killed, in a cgroup delegated to ${USER}`, async (t) => {
    await systemd.must(['systemctl', 'start', BOUNDED])
    t.equal(await systemd.property(BOUNDED, 'Delegate'), 'yes')
    await systemd.journalWith(/memoryMax bounds processes by cgroup/, '-t', 'byre', '-u', BOUNDED)
    const main = await systemd.property(BOUNDED, 'MainPID')
    const lines = (await systemd.must(['cat', `/proc/${main}/cgroup`])).split('\n')
    // on v2 no process may be where controllers are handed on: byre is in a leaf
    if (hasCgroup2()) t.match(lines[0], /^0::.*\/byre-h-bounded\.service\/byre-supervisor$/)
    const before = await herd.status('bounded')
    await herd.go('hog')
    const after = await herd.until('bounded', 'the end of hog', ({ workers }) =>
      workers.some(({ name, lastExit }) => name === 'hog' && lastExit !== undefined),
    )
    await herd.stopGoing('hog')
    const { lastExit } = after.workers.find(({ name }) => name === 'hog')!
    t.match(lastExit, { verdict: 'oom-host', reason: /limit 120 MiB, from memoryMax/ })
    t.match(lastExit?.evidence, { confidence: 'certain', oomKills: Number })
    for (const name of ['neighbour', 'sibling']) {
      const one = after.workers.find((worker) => worker.name === name)
      t.match(one, { state: 'running', restarts: 0 })
      t.equal(one?.startedAt, before.workers.find((worker) => worker.name === name)?.startedAt)
    }
    t.equal(await systemd.property(BOUNDED, 'ActiveState'), 'active', 'OOMPolicy=continue')
    t.equal(await systemd.property(BOUNDED, 'MainPID'), main)
    await systemd.must(['systemctl', 'stop', BOUNDED])
    t.equal(await systemd.property(BOUNDED, 'ActiveState'), 'inactive')
    t.equal(await systemd.property(BOUNDED, 'Result'), 'success')
  })

  const high = hasCgroup2() ? false : 'needs cgroup v2: MemoryHigh= is not enforced on v1 (scripts/test-vm)'
  t.test(
    'over MemoryHigh a group is slowed down and goes on; peak and pressure are told',
    { skip: high },
    async (t) => {
      await systemd.must(['systemctl', 'start', HIGH])
      const folder = `/sys/fs/cgroup${await systemd.property(HIGH, 'ControlGroup')}`
      const read = async (file: string): Promise<string> => systemd.must(['cat', `${folder}/${file}`])
      const number = async (file: string, pattern: RegExp): Promise<number> =>
        Number(pattern.exec(await read(file))?.[1] ?? Number.NaN)
      t.equal(await number('memory.high', /^(\d+)/), 160 * MIB)
      t.equal(await number('memory.events', /^high (\d+)/m), 0)
      await herd.go('eater')
      await eventually(
        'the kernel holds it back',
        async () => (await number('memory.events', /^high (\d+)/m)) > 0,
      )
      await eventually('pressure', async () => (await number('memory.pressure', /^some .*total=(\d+)/m)) > 0)
      await herd.stopGoing('eater')
      t.equal(await number('memory.events', /^oom_kill (\d+)/m), 0)
      const peakBytes = Number(await systemd.property(HIGH, 'MemoryPeak'))
      t.ok(peakBytes > 150 * MIB && peakBytes < 1024 * MIB, `MemoryPeak ${peakBytes}`)
      t.equal(await systemd.property(HIGH, 'ActiveState'), 'active')
      t.equal(await systemd.property(HIGH, 'NRestarts'), '0')
      t.match(await herd.status('high'), { workers: [{ name: 'eater', state: 'running' }] })
      await systemd.must(['systemctl', 'stop', HIGH])
      t.equal(await systemd.property(HIGH, 'Result'), 'success')
    },
  )
})
