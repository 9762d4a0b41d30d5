// scripts/demo as CI runs it: both phases of both groups, for real, with little work.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode, startCleanNode } from '../helpers/clean-node.ts'
import { eventually } from '../helpers/events.ts'
import { childPids } from '../helpers/leak-guard.ts'
import { DEMO_FOLDER } from './demo-module.ts'

t.setTimeout(150_000)

const SCRIPT = fileURLToPath(new URL('../scripts/demo.mjs', DEMO_FOLDER))

interface Phase {
  memory: Record<string, number>
  work: Record<string, number>
  relayConnections: number
  readyMs: number
  measuredAfterReadyMs: number
  facts: Record<string, number>
}
interface Result {
  ok: boolean
  groups: { group: string; workers: string[]; alone: Phase; hosted: Phase; problems: string[] }[]
}

t.test(
  'every worker works alone and hosted, and hosted the herd is one process of a fraction of the memory',
  { timeout: 120_000 },
  async (t) => {
    const run = await runCleanNode([SCRIPT, '--json', '--orders', '20', '--settle', '0'], {
      timeoutMs: 110_000,
    })
    t.equal(run.code, 0, run.stderr)
    const { ok, groups } = JSON.parse(run.stdout) as Result
    t.ok(ok)
    t.same(
      groups.map(({ group, workers }) => [group, workers.length]),
      [
        ['main', 18],
        ['reports', 3],
      ],
    )
    for (const { group, workers, alone, hosted, problems } of groups) {
      t.same(problems, [])
      for (const phase of [alone, hosted]) {
        t.same(Object.keys(phase.work), workers)
        t.same(
          workers.filter((name) => phase.work[name] === 0),
          [],
          'nobody idle',
        )
        t.ok(phase.readyMs > 0)
      }
      t.equal(alone.memory['processes'], workers.length)
      t.equal(hosted.memory['processes'], 1)
      t.equal(hosted.relayConnections, 1)
      for (const kind of ['pssBytes', 'anonBytes']) {
        const [before, after] = [alone.memory[kind] ?? 0, hosted.memory[kind] ?? 0]
        t.ok(after < before * (group === 'main' ? 0.25 : 0.6), `${group} ${kind}: ${before} -> ${after}`)
      }
      t.ok(
        hosted.measuredAfterReadyMs >= alone.measuredAfterReadyMs,
        'both read equally long after ready, or the second later',
      )
    }
    t.match(groups[0]?.hosted.facts, { ordersPlaced: 20, hooksReceived: 20, linesForwarded: 20 })
  },
)

t.test('a Ctrl-C ends every process it started and removes its files', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'byre-ctrlc-')) // short: socket paths begin with it
  const demo = startCleanNode([SCRIPT], { env: { TMPDIR: folder } })
  t.teardown(async () => {
    demo.child.kill('SIGINT') // not SIGKILL, which would orphan its children
    await demo.exit
    rmSync(folder, { recursive: true, force: true })
  })
  await demo.stdout.next('Starting the 18 workers')
  const started = await eventually('the first workers', () => {
    const pids = childPids(demo.pid)
    return pids.length === 18 && pids
  })
  demo.child.kill('SIGINT')
  t.same(await demo.exit, { code: 1, signal: null }, 'interrupted before the end')
  t.same(
    started.filter((pid) => existsSync(`/proc/${pid}`)),
    [],
  )
  t.same(readdirSync(folder), [])
})

t.test('a bad option is refused before anything starts', async (t) => {
  for (const [args, message] of [
    [['--bogus'], /Unknown option '--bogus'/],
    [['--settle', 'x'], /--settle must be 0 to 600 seconds, got 'x'/],
    [['--orders', '19'], /--orders must be a whole number from 20 to 1000, got '19'/],
  ] as const) {
    const run = await runCleanNode([SCRIPT, ...args])
    t.equal(run.code, 2)
    t.match(run.stderr, message)
    t.equal(run.stdout, '')
  }
})
