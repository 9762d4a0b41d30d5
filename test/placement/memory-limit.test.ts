// memoryMax of a process by a cgroup of its own: the kernel kills that worker, and it is named as that. cgroup v1, as root.
import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd, HerdOptions } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const V1 = '/sys/fs/cgroup/memory'
const MISSING = 'skipped: needs root and a memory controller of cgroup v1'

/** Outside V8's heap, so that its limit does not come first; slowly, so that a sample is taken before the end. */
const FILLER = `
export async function run(ctx) {
  const kept = []
  for (;;) {
    kept.push(Buffer.alloc(4e6, 1))
    await new Promise((r) => setTimeout(r, 100))
  }
}
`
const IDLE = `export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))`

function canDivide(): boolean {
  try {
    accessSync(join(V1, 'memory.limit_in_bytes'))
    accessSync(V1, constants.W_OK)
    return process.geteuid?.() === 0
  } catch {
    return false
  }
}

/** A herd whose supervisor lives in a cgroup of its own. */
async function hostInCgroup(t: Test, options: HerdOptions): Promise<{ herd: Herd; folder: string }> {
  const folder = join(V1, `byre-test-${process.pid}-${t.name.length}`)
  mkdirSync(folder)
  t.teardown(() => eventually('the cgroup to be empty', () => removed(folder)))
  const herd = await startHerd(t, options)
  writeFileSync(join(folder, 'cgroup.procs'), String(herd.pid))
  return { herd, folder }
}

function removed(folder: string): boolean {
  try {
    rmdirSync(folder)
    return true
  } catch {
    return false // somebody in it is still ending
  }
}

const LAZY = { activation: { topics: ['wake.>'] }, placement: 'process' } as const

t.test('the kernel ends the worker that goes past its memoryMax, and nobody else', async (t) => {
  if (!canDivide()) {
    t.pass(MISSING, { skip: true })
    return
  }
  const { herd, folder } = await hostInCgroup(t, {
    workers: { filler: FILLER, idle: IDLE },
    env: { BYRE_CGROUP: 'own' },
    config: {
      sampler: { interval: '1s' },
      workers: {
        filler: { ...LAZY, memoryMax: '120MiB', restart: 'never' },
        idle: { ...LAZY, memoryMax: '200MiB' },
      },
    },
  })
  await herd.act('idle', 'wake')
  const idle = await herd.untilWorker('idle', (w) => w.state === 'running')
  await herd.act('filler', 'wake')
  const { lastExit } = await herd.untilWorker('filler', (w) => w.lastExit !== undefined)
  t.match(lastExit, {
    verdict: 'oom-host',
    reason:
      'the kernel killed its process for lack of memory (limit 120 MiB, from memoryMax). Raise it, or find what it retains',
    evidence: {
      signal: 'SIGKILL',
      oomKills: 1,
      confidence: 'certain',
      cgroup: { limitBytes: 125_829_120, peakBytes: Number },
    },
  })
  const { lastSample } = lastExit!.evidence as { lastSample?: { rssBytes?: number } }
  t.ok(lastSample!.rssBytes! > 50e6, `the last outside sample: ${lastSample?.rssBytes}`)
  const after = await herd.worker('idle')
  t.same([after.pid, after.restarts, after.state], [idle.pid, 0, 'running'])
  t.equal((await herd.stop()).code, 0)
  t.same(
    readdirSync(folder).filter((name) => name.startsWith('byre-')),
    [],
    'no cgroup is left behind',
  )
})

t.test('without a cgroup that byre may divide it says so once and bounds the heap only', async (t) => {
  if (!canDivide()) {
    t.pass(MISSING, { skip: true })
    return
  }
  const herd = await startHerd(t, {
    workers: { a: IDLE, b: IDLE },
    config: { defaults: { placement: 'process', memoryMax: '200MiB' } },
  })
  t.match(herd.matching({ event: 'no-memory-cgroup' }), [{ why: /BYRE_CGROUP=own/ }])
  t.equal(herd.matching({ event: 'no-memory-cgroup' }).length, 1)
  t.notOk(existsSync(join(V1, `byre-${herd.pid}-a-1`)))
})
