// Memory and activity of real processes, through children that see nothing of the test runner.
import { rmSync } from 'node:fs'
import type { Writable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
import { readActivity } from '../../src/measure/activity.ts'
import { readSelfMemory, selfRssBytes } from '../../src/measure/self.ts'
import { spawnClean } from '../../src/measure/spawn-clean.ts'
import { readMembersMemory, readTreeMemory } from '../../src/measure/tree-memory.ts'
import { readStat } from '../../src/procfs/stat.ts'
import type { ProcStat } from '../../src/procfs/stat.ts'
import { nextEvent, readLines } from '../helpers/events.ts'
import type { Lines } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Talking {
  readonly pid: number
  readonly stdin: Writable
  readonly lines: Lines
  readonly closed: Promise<unknown>
}

/** A clean node whose stdin stays open: it lives until the test closes that. */
function talk(t: Test, args: readonly string[], env: Readonly<Record<string, string>> = {}): Talking {
  const child = spawnClean([process.execPath, ...args], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const closed = nextEvent(child, 'close')
  t.teardown(() => (child.kill('SIGKILL'), closed))
  return { pid: child.pid!, stdin: child.stdin!, lines: readLines(child.stdout!), closed }
}

const HOLD = `
const { spawn } = require('node:child_process')
const hold = Buffer.alloc(Number(process.argv[1]), 1)
const left = process.argv.slice(2)
if (left.length > 0) {
  const child = spawn(process.execPath, ['-e', process.env.SCRIPT, ...left], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdout.pipe(process.stdout)
  process.stdin.pipe(child.stdin)
} else { console.log('holding'); process.stdin.resume() }
globalThis.hold = hold
`

t.test('what a child and a grandchild allocate is in the sum of the tree, once', async (t) => {
  const MB = 1_000_000
  const node = talk(t, ['-e', HOLD, String(30 * MB), String(50 * MB)], { SCRIPT: HOLD })
  await node.lines.next('holding')
  const tree = readTreeMemory(node.pid)
  t.equal(tree.count, 2)
  t.same(tree.unreadable, [])
  const bare = 2 * 45 * MB
  t.ok(tree.anonBytes > 80 * MB && tree.anonBytes < 80 * MB + bare, `anon ${tree.anonBytes}`)
  for (const name of ['pssBytes', 'ussBytes', 'rssBytes', 'anonBytes'] as const) {
    const sum = tree.processes.reduce((total, one) => total + one[name], 0)
    t.equal(tree[name], sum, `${name} is the sum of its processes`)
  }
  t.ok(tree.pssBytes <= tree.rssBytes && tree.anonBytes <= tree.rssBytes)
  const [parent, child] = tree.processes
  t.ok(child!.anonBytes - parent!.anonBytes > 15 * MB, 'each process has its own part')
  node.stdin.end()
  await node.closed
  t.match(readTreeMemory(node.pid), { count: 0, pssBytes: 0, processes: [], zombies: 0 })
})

t.test('members that end or may not be read: the first are left out, the second are named', async (t) => {
  const own = readStat(process.pid)
  if (!own.ok) throw new Error(own.reason)
  const member = (pid: number, state = 'S'): ProcStat => ({ ...own.value, pid, state, comm: `p${pid}` })
  const rollup = ['Rss', 'Pss', 'Private_Clean', 'Private_Dirty', 'Anonymous']
    .map((k) => `${k}: 2 kB\n`)
    .join('')
  const root = t.testdir({ 1: { smaps_rollup: rollup }, 2: { smaps_rollup: 'cut' }, 3: {}, 4: {} })
  rmSync(`${root}/4`, { recursive: true })
  const found = readMembersMemory([member(1), member(2), member(3), member(4), member(5, 'Z')], root)
  t.match(found, { count: 1, pssBytes: 2048, ussBytes: 4096, zombies: 1 })
  t.same(found.unreadable, [
    { pid: 2, comm: 'p2', reason: 'malformed' },
    { pid: 3, comm: 'p3', reason: 'unsupported' },
  ])
})

t.test('activity is what the process itself says it used, and an idle one sleeps', async (t) => {
  const script = `
    const used = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000 }
    process.stdin.on('data', () => {
      for (const from = used(); used() < from + 200; ) for (let i = 0; i < 1e6; i++);
      console.log(used())
    })
    console.log(used())`
  const node = talk(t, ['-e', script])
  const own = [Number(await node.lines.next())]
  const before = readActivity(node.pid, 100)
  node.stdin.write('go\n')
  own.push(Number(await node.lines.next()))
  const after = readActivity(node.pid, 100)
  if (!before.ok || !after.ok) throw new Error('not readable')
  t.equal(after.value.cpuSource, before.value.cpuSource)
  const [spent, told] = [after.value.cpuMs - before.value.cpuMs, own[1]! - own[0]!]
  t.ok(told >= 200 && Math.abs(spent - told) < 0.25 * told + 20, `${spent} ms, it says ${told}`)
  t.ok(after.value.voluntarySwitches > 0 && after.value.threads > 4)
  t.match(readActivity(4_194_305, 100), { ok: false, reason: 'gone' })
})

t.test('without scheduler statistics the ticks of stat are used, and it is said', async (t) => {
  const status = 'Uid: 0 0\nThreads: 1\nvoluntary_ctxt_switches: 3\nnonvoluntary_ctxt_switches: 4\n'
  const stat = '7 (x) S 1 1 1 0 -1 0 0 0 0 0 17 5 0 0 20 0 1 0 99 0 0\n'
  const rows = [
    ['no file', {}],
    ['zeros', { schedstat: '0 0 0\n' }],
  ] as const
  for (const [name, extra] of rows) {
    const root = t.testdir({ 7: { stat, task: { 7: { status, ...extra } } } })
    const found = readActivity(7, 100, root)
    t.same(
      found,
      {
        ok: true,
        value: { cpuMs: 220, cpuSource: 'stat', voluntarySwitches: 3, involuntarySwitches: 4, threads: 1 },
      },
      name,
    )
  }
})

t.test('own memory: parts of one reading, or absent with a reason', async (t) => {
  const own = readSelfMemory()
  t.equal(own.unavailable, undefined)
  t.ok(own.anonBytes! <= own.rssBytes && own.pssBytes! <= own.rssBytes && own.ussBytes! <= own.rssBytes)
  t.ok(Math.abs(selfRssBytes() - own.rssBytes) < 0.2 * own.rssBytes)
  const without = readSelfMemory(t.testdir({ self: {} }))
  t.ok(without.rssBytes > 0 && without.heapUsedBytes > 0)
  t.notOk('anonBytes' in without || 'pssBytes' in without || 'ussBytes' in without)
  t.same(Object.keys(without.unavailable!), ['pssBytes', 'ussBytes', 'anonBytes'])
})
