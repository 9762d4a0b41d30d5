import { spawn } from 'node:child_process'
import fc from 'fast-check'
import t from 'tap'
import {
  readProcessTable,
  readProcessTableInSlices,
  readTree,
  selectTree,
} from '../../src/measure/process-tree.ts'
import type { ProcStat } from '../../src/procfs/stat.ts'
import { eventually, nextEvent, readLines } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const BASE: ProcStat = {
  pid: 0,
  comm: 'p',
  state: 'S',
  ppid: 0,
  session: 1,
  userTicks: 0,
  systemTicks: 0,
  threads: 1,
  startTicks: 0,
}
const stat = (pid: number, ppid: number, more: Partial<ProcStat> = {}): ProcStat => ({
  ...BASE,
  pid,
  ppid,
  startTicks: pid * 10,
  ...more,
})
const table = (...stats: ProcStat[]): Map<number, ProcStat> => new Map(stats.map((s) => [s.pid, s]))
const pids = (stats: readonly ProcStat[]): number[] => stats.map((s) => s.pid)

t.test('the members of the tree of 10', async (t) => {
  const plain = table(stat(1, 0), stat(10, 1), stat(12, 10), stat(11, 10), stat(13, 12), stat(20, 1))
  t.same(pids(selectTree(plain, 10)), [10, 12, 11, 13], 'root first, parents before children')
  t.same(pids(selectTree(plain, 99)), [], 'a root that does not exist')
  const orphan = table(stat(1, 0), stat(10, 1), stat(13, 1), stat(14, 13))
  t.same(pids(selectTree(orphan, 10)), [10], 'an adopted child that was never seen before is lost')
  t.same(
    pids(selectTree(orphan, 10, { known: [{ pid: 13, startTicks: 130 }] })),
    [10, 13, 14],
    'one that was is not',
  )
  t.same(
    pids(selectTree(orphan, 10, { known: [{ pid: 13, startTicks: 131 }] })),
    [10],
    'a reused pid is another process',
  )
  const daemon = table(stat(1, 0), stat(30, 1, { session: 10 }), stat(31, 30, { session: 31 }))
  t.same(
    pids(selectTree(daemon, 10, { session: 10 })),
    [30, 31],
    'without the root, a double fork is found by session',
  )
})

t.test('two pids that name each other as parent do not loop', async (t) => {
  t.same(pids(selectTree(table(stat(5, 6), stat(6, 5)), 5)), [5, 6])
  t.same(pids(selectTree(table(stat(5, 5)), 5)), [5])
})

t.test('the tree is exactly the processes that reach the root over their parents', async () => {
  const links = fc.array(fc.nat({ max: 12 }), { minLength: 13, maxLength: 13 })
  fc.assert(
    fc.property(links, fc.nat({ max: 12 }), (parents, root) => {
      const all = table(...parents.map((ppid, pid) => stat(pid, ppid)))
      const climbs = (pid: number, steps = 0): boolean =>
        pid === root || (steps < 13 && climbs(parents[pid]!, steps + 1))
      const found = pids(selectTree(all, root))
      return (
        found.length === new Set(found).size && parents.every((_, pid) => found.includes(pid) === climbs(pid))
      )
    }),
  )
})

t.test('a real tree: child, grandchild, and a grandchild whose parent has ended', async (t) => {
  const script = 'sh -c "sh -c \'echo \\$\\$; read x\' <&3 & exit" 3<&0; read y'
  const child = spawn('sh', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  t.teardown(() => child.stdin!.destroy())
  const orphan = Number(await readLines(child.stdout!).next(/^\d+$/))
  const below = (): boolean => pids(readTree(child.pid!)).includes(orphan)
  await eventually('the process between them to end', () => !below())
  t.notOk(pids(readTree(child.pid!)).includes(orphan), 'not below the root any more')
  t.ok(pids(readTree(child.pid!, { session: child.pid! })).includes(orphan), 'found by session')
  const { startTicks } = readProcessTable().get(orphan)!
  t.ok(
    pids(readTree(child.pid!, { known: [{ pid: orphan, startTicks }] })).includes(orphan),
    'found by identity',
  )
  child.stdin!.end()
  await nextEvent(child, 'close')
  await eventually('the orphan to end', () => !readProcessTable().has(orphan))
})

t.test('passes over a tree that forks all the time never throw', async (t) => {
  const child = spawn('sh', ['-c', 'i=0; while [ $i -lt 300 ]; do (: & :) & i=$((i+1)); done; wait'], {
    stdio: 'ignore',
  })
  const closed = nextEvent(child, 'close')
  let ended = false
  void closed.then(() => (ended = true))
  let passes = 0
  for (; !ended; passes++) {
    t.ok(pids(readTree(process.pid)).includes(process.pid))
    await new Promise(setImmediate)
  }
  t.ok(passes > 0, `${passes} passes`)
})

t.test('the table that is read in slices lets other work run, and has the same processes', async (t) => {
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  const inSlices = await readProcessTableInSlices(0)
  clearImmediate(timer)
  t.ok(turns >= inSlices.size - 1, 'a turn for each process, with slices of no time')
  t.equal(inSlices.get(process.pid)?.startTicks, readProcessTable().get(process.pid)?.startTicks)
})
