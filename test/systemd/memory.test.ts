// Memory limits in the units of `byre units`: the limits of the kernel, and byre in a delegated cgroup.
import t from 'tap'
import { eventually, SLOWNESS } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { hasCgroup2, startSystemd, systemdMissing } from '../helpers/systemd.ts'
import type { Systemd } from '../helpers/systemd.ts'
import { createUnitHerd } from '../helpers/unit-herd.ts'

leakGuard(t)

const MIB = 1_048_576
const HIGH = 'byre-h-high.service'
const BOUNDED = 'byre-h-bounded.service'
/** On cgroup v1 systemd delegates only to root. */
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

  t.test(
    `a process worker over its memoryMax is killed alone, in a cgroup delegated to ${USER}`,
    async (t) => {
      await systemd.must(['systemctl', 'start', BOUNDED])
      t.equal(await systemd.property(BOUNDED, 'Delegate'), 'yes')
      await systemd.journalWith(/memoryMax limits processes by cgroup/, '-t', 'byre', '-u', BOUNDED)
      const main = await systemd.property(BOUNDED, 'MainPID')
      const lines = (await systemd.must(['cat', `/proc/${main}/cgroup`])).split('\n')
      // On cgroup v2 a cgroup that enables controllers must not contain processes: byre is in a leaf.
      if (hasCgroup2()) t.match(lines[0], /^0::.*\/byre-h-bounded\.service\/byre-supervisor$/)
      const before = await herd.status('bounded')
      for (const [name, limit] of [
        ['hog', 120],
        ['neighbour', 200],
      ] as const) {
        const { path, text } = await limitOf(
          systemd,
          before.workers.find((worker) => worker.name === name)?.pid,
        )
        t.equal(Number(text), limit * MIB, `${name}: ${path}`)
        t.match(path, new RegExp(`/byre-h-bounded\\.service/byre-\\d+-${name}-\\d+$`), 'a leaf of the unit')
      }
      await herd.go('hog')
      const after = await herd.until('bounded', 'the end of hog', ({ workers }) =>
        workers.some(({ name, lastExit }) => name === 'hog' && lastExit !== undefined),
      )
      await herd.stopGoing('hog')
      const { lastExit } = after.workers.find(({ name }) => name === 'hog')!
      t.match(lastExit, { verdict: 'oom-host', reason: /limit 120 MiB, from memoryMax/ })
      t.match(lastExit?.evidence, {
        confidence: 'certain',
        oomKills: Number,
        cgroupFile: hasCgroup2() ? /\/memory\.events$/ : /\/memory\.oom_control$/,
        cgroup: { limitBytes: 120 * MIB, peakBytes: Number },
      })
      const { oomKills, cgroup } = lastExit!.evidence as { oomKills: number; cgroup: { peakBytes: number } }
      t.comment(
        `fact: memory.max of a process: oom-host, oom_kill ${oomKills}, peak ${cgroup.peakBytes} of ${120 * MIB}`,
      )
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
    },
  )

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
      const pressureUs = await eventually('pressure', async () => {
        const total = await number('memory.pressure', /^some .*total=(\d+)/m)
        return total > 0 ? total : undefined
      })
      await systemd.journalWith(/memory of the group is watched \(cgroup-v2\)/, '-t', 'byre', '-u', HIGH)
      const asked = await systemd.journalWith(
        /^memory of the group after 'collect': /,
        '-t',
        'byre',
        '-u',
        HIGH,
      )
      const relief = asked.map((entry) => entry['MESSAGE'] ?? '').find((line) => /after 'collect'/.test(line))
      await herd.stopGoing('eater')
      t.equal(await number('memory.events', /^oom_kill (\d+)/m), 0)
      const peakBytes = Number(await systemd.property(HIGH, 'MemoryPeak'))
      t.ok(peakBytes > 150 * MIB && peakBytes < 1024 * MIB, `MemoryPeak ${peakBytes}`)
      const highEvents = await number('memory.events', /^high (\d+)/m)
      t.comment(`fact: MemoryPeak ${peakBytes} under MemoryHigh ${160 * MIB}, held ${highEvents} times`)
      t.comment(`fact: memory.pressure some total ${pressureUs} us when first read; byre: ${relief}`)
      t.equal(await systemd.property(HIGH, 'ActiveState'), 'active')
      t.equal(await systemd.property(HIGH, 'NRestarts'), '0')
      // The process is throttled, so one request may not be enough to get an answer.
      await herd.until('high', 'the eater goes on', ({ workers }) =>
        workers.some(({ name, state }) => name === 'eater' && state === 'running'),
      )
      await systemd.must(['systemctl', 'stop', HIGH])
      t.equal(await systemd.property(HIGH, 'Result'), 'success')
    },
  )
})

/** The limit of the memory cgroup of process `pid`, from the kernel. */
async function limitOf(
  systemd: Systemd,
  pid: number | undefined,
): Promise<{ readonly path: string; readonly text: string }> {
  const lines = (await systemd.must(['cat', `/proc/${pid}/cgroup`])).split('\n')
  const [mount, file] = hasCgroup2() ? ['', 'memory.max'] : ['/memory', 'memory.limit_in_bytes']
  const line = lines.find((text) => (hasCgroup2() ? text.startsWith('0::') : text.includes(':memory:')))
  const path = line?.split(':').slice(2).join(':') ?? ''
  return { path, text: await systemd.must(['cat', `/sys/fs/cgroup${mount}${path}/${file}`]) }
}
