// A process that the kernel kills for want of memory is told from one that somebody kills: its cgroup counts. Really
// caused, in a memory cgroup of its own (v1; the v2 files are covered by the parser).
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { controllerPath, readCgroup } from '../../src/procfs/cgroup.ts'
import { parseOomKills } from '../../src/procfs/oom-kills.ts'
import { witnessOom } from '../../src/placement/process-end.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const MEMORY = '/sys/fs/cgroup/memory'
const LIMIT_BYTES = 220_000_000

t.test('oom_kill is read from either version, and its absence is no zero', async (t) => {
  t.equal(parseOomKills('oom_kill_disable 0\nunder_oom 0\noom_kill 3\n'), 3)
  t.equal(parseOomKills('low 0\nhigh 12\nmax 40\noom 2\noom_kill 2\noom_group_kill 0\n'), 2)
  t.equal(parseOomKills('oom_kill_disable 0\nunder_oom 0\n'), undefined)
})

t.test('what cannot be counted says why', async (t) => {
  t.match(witnessOom(2 ** 30)(), { unavailable: /cgroup is gone/ })
})

/** A child cgroup of this test's own, or why there is none. */
function ownCgroup(): string | Error {
  const lines = readCgroup('self')
  const path = lines.ok ? controllerPath(lines.value, 'memory') : undefined
  if (path === undefined || !existsSync(join(MEMORY, path)))
    return new Error('no memory controller on cgroup v1')
  const folder = join(MEMORY, path, `byre-oom-${process.pid}`)
  try {
    mkdirSync(folder)
    writeFileSync(join(folder, 'memory.limit_in_bytes'), String(LIMIT_BYTES))
    return folder
  } catch (error) {
    return error as Error // not root
  }
}

const HOARDER = `
const hoard = []
export async function run(ctx) {
  for await (const _ of ctx.bus.subscribe('go', { signal: ctx.signal }))
    for (;;) { hoard.push(Buffer.alloc(10_000_000, 1)); await new Promise((resolve) => setTimeout(resolve, 20)) }
}
`

t.test(
  'the kernel killed it: oom-host with the count; somebody killed it: killed, with a count of none',
  async (t) => {
    const cgroup = ownCgroup()
    if (cgroup instanceof Error) {
      t.pass('skipped', { skip: cgroup.message })
      return
    }
    t.teardown(() => rmdirSync(cgroup))
    const publisher = `
export async function run(ctx) { await ctx.bus.publish('go', null) }
`
    const herd = await startHerd(t, {
      workers: { hoarder: HOARDER, publisher },
      config: {
        workers: {
          hoarder: { placement: 'process', restart: 'never', activation: { topics: ['go'] } },
          publisher: { activation: { topics: ['publish'] } },
        },
      },
    })
    writeFileSync(join(cgroup, 'cgroup.procs'), String(herd.pid))
    await herd.act('hoarder', 'wake')
    const { pid } = await herd.untilWorker('hoarder', (w) => w.state === 'running')
    process.kill(Number(pid), 'SIGKILL')
    const first = await herd.untilWorker('hoarder', (w) => w.lastExit !== undefined)
    t.match(first.lastExit, {
      verdict: 'killed',
      evidence: { signal: 'SIGKILL', oomKills: 0, unavailable: { sender: String } },
    })
    await herd.act('publisher', 'wake')
    await herd.act('hoarder', 'start')
    await herd.untilWorker('hoarder', (w) => w.state === 'running')
    await herd.act('publisher', 'wake')
    const second = await herd.untilWorker('hoarder', (w) => w.lastExit?.verdict !== 'killed', 60_000)
    t.match(second.lastExit, {
      verdict: 'oom-host',
      reason: /kernel killed its process for lack of memory/,
      evidence: { signal: 'SIGKILL', oomKills: 1, cgroupFile: /memory.oom_control$/, confidence: 'likely' },
    })
    t.match(await herd.worker('publisher'), { failures: 0 })
    t.equal(parseOomKills(readFileSync(join(cgroup, 'memory.oom_control'), 'utf8')), 1)
    await herd.stop()
  },
)
