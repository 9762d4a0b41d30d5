// What V8 optimises while a process starts: in real children, with V8's own word on which compiler a function came from.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { tierUpFlags } from '../../src/base/tier-up.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const NONE = { postpone: [], resume: [] }
const folder = mkdtempSync(join(tmpdir(), 'byre-t-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

t.test('a version whose thresholds are not known, or that the user has set, is left alone', async (t) => {
  const rows: [string, string[]][] = [
    ['21.7.3', []],
    ['27.0.0', []],
    ['', []],
    ['20.19.0', ['--interrupt-budget=1000']],
    ['20.19.0', ['--interrupt_budget', '1000']],
    ['24.21.0', ['--no-warnings', '--invocation-count-for-maglev=1']],
    ['26.0.0', ['-invocation_count_for_turbofan=1']],
  ]
  for (const [version, flags] of rows)
    t.same(tierUpFlags(version, flags), NONE, `${version} ${flags.join(' ')}`)
})

t.test('other flags of the user change nothing', async (t) => {
  const flags = [
    '--max-semi-space-size=1',
    '--invocation-count-for-osr=1',
    '--',
    'interrupt-budget-like=1',
    '',
  ]
  for (const version of ['20.20.2', '22.23.5', '24.21.0', '26.10.0']) {
    t.same(tierUpFlags(version, flags), tierUpFlags(version, []))
    t.ok(tierUpFlags(version, []).postpone.length > 0, version)
  }
})

t.test("what is undone is V8's own default, in this version", async (t) => {
  const { stdout } = await runCleanNode(['--v8-options'])
  for (const flag of tierUpFlags(process.versions.node, []).resume) t.match(stdout, `default: ${flag}\n`)
})

/** `calls()`: how many it takes until a new function's code comes from an optimising compiler, which works on the spot. The
 *  fewest of nine: what V8 collects or learns on the way makes it start again. */
const COUNT = `
import { setFlagsFromString } from 'node:v8'
setFlagsFromString('--allow-natives-syntax')
setFlagsFromString('--no-concurrent-recompilation')
const optimised = new Function('f', 'return %ActiveTierIsMaglev(f) || %ActiveTierIsTurbofan(f)')
let made = 0
function once() {
  const hot = new Function('x', 'return (x * 7 + ' + ++made + ') % 11')
  for (let n = 1; n < 5_000_000; n++) {
    hot(n)
    if (optimised(hot)) return n
  }
}
const calls = () => Math.min(...Array.from({ length: 9 }, once))
// Else the loop is optimised itself, with the function inside.
for (const f of [once, optimised]) new Function('f', '%NeverOptimizeFunction(f)')(f)
`

t.test('a postponed function is optimised after some 50 times as many calls, never not at all', async (t) => {
  const child = join(folder, 'child.mjs')
  writeFileSync(
    child,
    `import { postponeTierUp } from ${JSON.stringify(new URL('../../src/base/tier-up.js', import.meta.url).href)}
${COUNT}
const timers = []
const clock = { setTimer: (delayMs, fn, options) => {
  const timer = { delayMs, fn, options, cancelled: false }
  timers.push(timer)
  return { cancel: () => { timer.cancelled = true } }
} }
const before = calls()
const resume = postponeTierUp(clock)
const postponed = calls()
resume()
resume()
const after = calls()
postponeTierUp(clock)
timers[1].fn()
const late = calls()
console.log(JSON.stringify({ before, postponed, after, late, timers }))
`,
  )
  const { stdout, stderr } = await runCleanNode([child])
  t.equal(stderr, '', 'V8 knows the flags')
  const { before, postponed, after, late, timers } = JSON.parse(stdout) as {
    [count: string]: number
  } & { timers: object[] }
  t.ok(postponed! > 10 * before!, `${before} and ${postponed} calls`)
  t.ok(after! < postponed! / 10, `${after} calls once it is undone`)
  t.ok(late! < postponed! / 10, `${late} calls once its time was over`)
  const timer = { delayMs: 10_000, options: { unref: true } }
  t.match(timers, [
    { ...timer, cancelled: true },
    { ...timer, cancelled: true },
  ])
})

t.test('a worker is optimised as V8 wants from ready on, wherever it runs', async (t) => {
  const worker = `${COUNT}
export const run = async (ctx) => {
  const starting = calls()
  ctx.ready()
  // The word that it is ready goes through microtasks, and out of a process through its wire.
  await new Promise((resolve) => setTimeout(resolve, 50))
  ctx.log.info({ event: 'calls', starting, ready: calls() })
}`
  for (const placement of ['shared', 'process'] as const)
    await t.test(placement, async (t) => {
      const herd = await startHerd(t, {
        config: { workers: { one: { placement, ready: 'call', restart: 'never' } } },
        workers: { one: worker },
      })
      const { starting, ready } = (await herd.line({ event: 'calls' })) as Record<string, number>
      t.ok(starting! > 10 * ready!, `${starting} calls while it starts, ${ready} after`)
      await herd.stop()
    })
})
