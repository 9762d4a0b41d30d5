// The memory limits and usage of the groups in a process, and what has grown most.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { parsePressure } from '../../../src/procfs/cgroup-memory.ts'
import { readTreeMemory } from '../../../src/measure/tree-memory.ts'
import { Growth } from '../../../src/watch/memory/growth.ts'
import { limitsOf, openUsage } from '../../../src/watch/memory/usage.ts'

type Owner = Pick<typeof t, 'teardown'>
const MIB = 1_048_576

t.test('the limits of the groups of one process add up', async (t) => {
  const groups = {
    a: { memoryHighBytes: 100, memoryMaxBytes: 200 },
    b: { memoryMaxBytes: 1000 },
    c: { memoryHighBytes: 50 },
    none: {},
  }
  t.equal(limitsOf({ groups }, ['none']), undefined)
  t.same(limitsOf({ groups }, ['a', 'a']), { groups: ['a'], highBytes: 100, maxBytes: 200 })
  t.same(limitsOf({ groups }, ['b']), { groups: ['b'], highBytes: 900, maxBytes: 1000 })
  t.same(limitsOf({ groups }, ['b', 'a']), { groups: ['a', 'b'], highBytes: 1000, maxBytes: 1200 })
  t.same(limitsOf({ groups }, ['a', 'c']), { groups: ['a', 'c'], highBytes: 150 }, 'no limit for both')
  t.match(limitsOf({ groups }, ['a', 'none']), /'none' has neither memoryHigh nor memoryMax/)
})

/** A copy of the kernel's files; returns the path of its /proc. */
function kernel(t: Owner, version: 1 | 2, cgroup: string, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'byre-usage-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const mount = version === 2 ? 'cgroup2 cgroup2 rw' : 'cgroup cgroup rw,memory'
  const proc = {
    'proc/self/cgroup': cgroup,
    'proc/self/mountinfo': `30 24 0:27 / ${folder}/cg rw,nosuid shared:9 - ${mount}\n`,
  }
  for (const [path, text] of Object.entries({ ...proc, ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return join(folder, 'proc')
}

t.test(
  'on cgroup v2 usage is the working set of the unit, and throttling counts only with pressure',
  async (t) => {
    const unit = 'cg/system.slice/herd.service'
    const proc = kernel(t, 2, '0::/system.slice/herd.service/byre-supervisor\n', {
      [`${unit}/memory.high`]: `${300 * MIB}\n`,
      [`${unit}/memory.max`]: 'max\n',
      [`${unit}/memory.current`]: `${310 * MIB}\n`,
      [`${unit}/memory.stat`]: `anon 1\nfile 2\ninactive_file ${40 * MIB}\n`,
      [`${unit}/memory.events`]: 'low 0\nhigh 7\nmax 0\noom 0\noom_kill 0\n',
      [`${unit}/memory.pressure`]:
        'some avg10=3.27 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
    })
    const usage = openUsage({ groups: ['g'], highBytes: 300 * MIB }, proc)
    t.equal(usage.source, 'cgroup-v2')
    t.same(usage.read(), { usedBytes: 270 * MIB, pressed: true })
    t.same(usage.read(), { usedBytes: 270 * MIB, pressed: false }, 'not held again since')
  },
)

t.test('on cgroup v1 the usage is that of the unit', async (t) => {
  const unit = 'cg/system.slice/herd.service'
  const proc = kernel(t, 1, '5:memory:/system.slice/herd.service\n0::/x\n', {
    [`${unit}/memory.limit_in_bytes`]: `${400 * MIB}\n`,
    [`${unit}/memory.usage_in_bytes`]: `${310 * MIB}\n`,
    [`${unit}/memory.stat`]: `inactive_file 1\ntotal_inactive_file ${10 * MIB}\n`,
  })
  const usage = openUsage({ groups: ['g'], highBytes: 300 * MIB, maxBytes: 400 * MIB + 1 }, proc)
  t.equal(usage.source, 'cgroup-v1')
  t.same(usage.read(), { usedBytes: 300 * MIB, pressed: false })
})

t.test(
  'a cgroup without the limits of the group may contain other processes: usage is the sum of PSS',
  async (t) => {
    const usage = openUsage({ groups: ['g'], highBytes: 12_345_678 })
    t.equal(usage.source, 'pss')
    const now = readTreeMemory(process.pid).pssBytes
    const read = usage.read()
    t.ok(typeof read === 'object' && Math.abs(read.usedBytes - now) < 20 * MIB, 'its own tree')
    const proc = kernel(t, 2, '0::/\n', {})
    t.match(openUsage({ groups: ['g'], highBytes: 1 }, proc).read(), /cannot be read/)
  },
)

t.test('a pressure file without its line gives no value', async (t) => {
  t.equal(parsePressure('some avg10=100.00 avg60=0'), 100)
  t.equal(parsePressure(''), undefined)
})

t.test('the largest is the one that grew most since its minimum, not the one with most memory', async (t) => {
  const growth = new Growth()
  growth.note(
    [
      { key: 'large', bytes: 1000 },
      { key: 'leak', bytes: 50 },
    ],
    0,
  )
  t.equal(growth.largest(), undefined)
  growth.note(
    [
      { key: 'large', bytes: 990 },
      { key: 'leak', bytes: 80 },
    ],
    5000,
  )
  growth.note(
    [
      { key: 'large', bytes: 1005 },
      { key: 'leak', bytes: 90 },
    ],
    9000,
  )
  t.same(growth.largest(), { key: 'leak', growthBytes: 40, bytes: 90, overMs: 9000 })
  growth.note([{ key: 'large', bytes: 1005 }], 10_000)
  t.same(growth.largest(), { key: 'large', growthBytes: 15, bytes: 1005, overMs: 5000 })
  growth.note(
    [
      { key: 'large', bytes: 1005 },
      { key: 'leak', bytes: 500 },
    ],
    11_000,
  )
  t.equal(growth.largest()?.key, 'large', 'its next run begins anew')
})
