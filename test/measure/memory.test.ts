// Memory of real processes: children without the environment of the test runner.
import { rmSync } from 'node:fs'
import type { Writable } from 'node:stream'
import t from 'tap'
import type { Test } from 'tap'
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

/** A clean node process that runs until the test closes its stdin. */
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

t.test('the allocations of a child and a grandchild are in the sum of the tree once', async (t) => {
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

t.test('members that end are left out, members that cannot be read are named', async (t) => {
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
