// `byre profile` on a real herd: the shares of the workers, the profile file and the refusals.
import { readFileSync } from 'node:fs'
import { resolve, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { ProfileReport } from '../../src/herd/status.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import type { CleanResult } from '../helpers/clean-node.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const BIN = resolve(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')

/** Uses the CPU for 20 ms of every 40 ms in a file that both workers import, and keeps its allocations. */
const busy = `
import { burn } from './shared.mjs'
export async function run(ctx) {
  const kept = []
  while (!ctx.signal.aborted) {
    burn(20)
    kept.push(Array.from({ length: 2000 }, (_, i) => ({ i })))
    await new Promise((r) => setTimeout(r, 20))
  }
}
`
const calm = `
import { burn } from './shared.mjs'
export async function run(ctx) {
  while (!ctx.signal.aborted) {
    burn(1)
    await new Promise((r) => setTimeout(r, 50))
  }
}
`
const SHARED = `export function burn(ms) { for (const until = performance.now() + ms; performance.now() < until; ) ; }`

async function byre(herd: Herd, ...args: string[]): Promise<CleanResult> {
  return runCleanNode([BIN, ...args, '--socket', herd.socketPath], { cwd: herd.folder })
}

for (const placement of ['thread', 'process'] as const)
  t.test(`CPU and heap of the ${placement} of a worker are profiled`, async (t) => {
    const herd = await startHerd(t, {
      workers: { busy, calm },
      files: { 'workers/shared.mjs': SHARED },
      config: { workers: { busy: { placement }, calm: { placement } } },
    })
    const cpu = await byre(herd, 'profile', 'busy', '--cpu', '1s', '--json')
    t.equal(cpu.code, 0, cpu.stderr)
    const report = JSON.parse(cpu.stdout) as ProfileReport
    const [first, ...others] = report.workers
    t.equal(first?.worker, 'busy')
    t.same(others, [], 'no other worker runs there')
    t.ok((first?.self ?? 0) > 0.7 * report.total, `${first?.self} of ${report.total} us`)
    t.ok(report.total > 100_000, 'the worker used half of the second')
    t.match(JSON.parse(readFileSync(report.file, 'utf8')), { nodes: Array, samples: Array })
    const heap = await byre(herd, 'profile', 'busy', '--heap', '--cpu', '500ms')
    t.match(heap.stdout, new RegExp(`live heap of the ${placement} of busy: `))
    t.match(heap.stdout, /busy \*/)
    await herd.act('calm', 'stop')
    await herd.untilWorker('calm', (w) => w.state === 'stopped')
    t.match((await byre(herd, 'profile', 'calm')).stderr, /has no run here that can be profiled/)
    t.equal((await herd.stop()).code, 0)
  })

t.test('the shares of the loop are attributed to workers through a file that both import', async (t) => {
  const idle = `export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))`
  const herd = await startHerd(t, {
    workers: { busy, calm, apart: idle },
    files: { 'workers/shared.mjs': SHARED },
    config: { workers: { apart: { placement: 'thread' } } },
  })
  const cpu = await byre(herd, 'profile', 'busy', '--cpu', '1s', '--json')
  t.equal(cpu.code, 0, cpu.stderr)
  const report = JSON.parse(cpu.stdout) as ProfileReport
  const of = (name: string): number => report.workers.find(({ worker }) => worker === name)?.self ?? 0
  t.equal(report.workers[0]?.worker, 'busy')
  t.ok(of('busy') > 4 * of('calm'), `busy ${of('busy')} us, calm ${of('calm')} us`)
  t.ok(of('busy') + of('calm') > 0.7 * report.total, `of ${report.total} us`)
  t.match(report.file, /\.cpuprofile$/)
  const profile = JSON.parse(readFileSync(report.file, 'utf8')) as object
  t.match(profile, { nodes: Array, samples: Array, timeDeltas: Array, startTime: Number, endTime: Number })

  const heap = await byre(herd, 'profile', 'busy', '--heap', '--cpu', '1s', '--json')
  t.equal(heap.code, 0, heap.stderr)
  const live = JSON.parse(heap.stdout) as ProfileReport
  t.equal(live.workers[0]?.worker, 'busy')
  t.match(JSON.parse(readFileSync(live.file, 'utf8')), { head: { callFrame: Object, children: Array } })

  const text = await byre(herd, 'profile', 'calm', '--cpu', '200ms')
  t.match(text.stdout, /CPU of the shared loop by worker: busy [\d.]+ ms of \d+\.\d s/)
  t.match(text.stdout, /\(unattributed\)/)
  t.match(await byre(herd, 'profile', 'busy', '--cpu', '5h'), { code: 2, stderr: /from 100 to 60000/ })
  t.equal((await herd.stop()).code, 0)
})
