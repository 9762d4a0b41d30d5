// What V8 optimises while a herd starts: in real children, with V8's own word on which compiler a function came from.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { tierUpFlags } from '../../src/base/tier-up.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Owner } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const NONE = { postpone: [], resume: [] }
const VERSION = process.versions.node
/** Enough for any version. */
const MANY = 100
const OWN = tierUpFlags(VERSION, [], MANY)
const NAMES = OWN.resume.map((flag) => flag.replace(/=.*/, ''))
const folder = mkdtempSync(join(tmpdir(), 'byre-t-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const skip = OWN.postpone.length === 0 && 'nothing is postponed on this version'
const built = (path: string): string => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href)

t.test('a version that is not known, a small herd, and what the user has set are left alone', async (t) => {
  const rows: [version: string, execArgv: string[], workers: number][] = [
    ['21.7.3', [], 1000],
    ['27.0.0', [], 1000],
    ['', [], 1000],
    ['20.20.2', [], 0],
    ['22.23.5', [], 1000],
    ['24.21.0', [], 99],
    ['24.21.0', [], 18],
    ['20.19.0', ['--ticks-before-optimization=2'], 1000],
    ['20.19.0', ['--max_bytecode_size_for_early_opt', '80'], 1000],
    ['24.21.0', ['--no-warnings', '-minimum_invocations_before_optimization=3'], 1000],
    ['26.0.0', ['--freeze-flags-after-init'], 1000],
  ]
  for (const row of rows) t.same(tierUpFlags(...row), NONE, row.join(' '))
})

t.test('other flags of the user change nothing', async (t) => {
  const flags = ['--max-semi-space-size=1', '--ticks-before-optimization-x=1', '--no-freeze-flags-after-init']
  for (const [version, workers] of [
    ['20.20.2', 1],
    ['24.21.0', 100],
    ['26.10.0', 100],
  ] as const) {
    t.same(tierUpFlags(version, [...flags, '--', ''], workers), tierUpFlags(version, [], workers))
    t.ok(tierUpFlags(version, [], workers).postpone.length > 0, version)
  }
})

t.test("what is undone is V8's own default, in this version", { skip }, async (t) => {
  const { stdout } = await runCleanNode(['--v8-options'])
  for (const flag of OWN.resume) t.match(stdout, `default: ${flag}\n`)
})

t.test(
  'a function called often is optimised late while that is postponed, and at once after',
  { skip },
  async (t) => {
    const child = join(folder, 'child.mjs')
    writeFileSync(
      child,
      `import { setFlagsFromString } from 'node:v8'
import { whileTierUpIsPostponed } from ${built('base/tier-up.js')}
setFlagsFromString('--allow-natives-syntax')
setFlagsFromString('--no-concurrent-recompilation') // the compiler works on the spot
const optimised = new Function('f', 'return %ActiveTierIsMaglev(f) || %ActiveTierIsTurbofan(f)')
let made = 0
const make = () => new Function('x', 'return (x * 7 + ' + ++made + ') % 11')
/** Calls until \`hot\` comes from an optimising compiler. */
function calls(hot) {
  for (let n = 1; n < 5_000_000; n++) {
    hot(n)
    if (optimised(hot)) return n
  }
}
// Else the loop is optimised itself, with the function inside.
for (const f of [calls, optimised]) new Function('f', '%NeverOptimizeFunction(f)')(f)
/** The fewest of nine: what V8 collects or learns on the way makes it start again. */
const fewest = (from = make) => Math.min(...Array.from({ length: 9 }, () => calls(from())))
const warm = Array.from({ length: 9 }, make)
const own = fewest()
let fire
let cancelled = 0
const clock = { setTimer: (delayMs, fn, options) => {
  fire = { delayMs, fn, options }
  return { cancel: () => cancelled++ }
} }
const postponed = await whileTierUpIsPostponed(${MANY}, async () => {
  for (const hot of warm) for (let i = 0; i < 100; i++) hot(i)
  return fewest()
}, clock)
const after = fewest(() => warm.pop())
const error = await whileTierUpIsPostponed(${MANY}, async () => { throw new Error('mine') }, clock).catch((e) => e)
const failed = fewest()
const late = await whileTierUpIsPostponed(${MANY}, async () => { fire.fn(); return fewest() }, clock)
console.log(JSON.stringify({ own, postponed, after, error: error.message, failed, late, cancelled, timer: fire }))
`,
    )
    const { stdout, stderr } = await runCleanNode([child])
    t.equal(stderr, '', 'V8 knows the flags')
    const seen = JSON.parse(stdout) as Record<'own' | 'postponed' | 'after' | 'failed' | 'late', number>
    t.ok(seen.postponed > 4 * seen.own, `${seen.own} calls, ${seen.postponed} postponed`)
    const soon = seen.postponed / 3
    t.ok(seen.after < soon, `${seen.after} calls of one that was called before`)
    t.ok(seen.failed < soon, `${seen.failed} calls after work that failed`)
    t.ok(seen.late < soon, `${seen.late} calls once its time was over`)
    t.match(seen, { error: 'mine', cancelled: 3, timer: { delayMs: 5000, options: { unref: true } } })
  },
)

/** Starts a herd that says which flags are set while it runs. */
async function flagsOf(t: Owner, options: Parameters<typeof startHerd>[1]): Promise<unknown[]> {
  const spy = join(folder, 'spy.mjs')
  writeFileSync(
    spy,
    `import v8 from 'node:v8'
import { syncBuiltinESMExports } from 'node:module'
const { setFlagsFromString } = v8
v8.setFlagsFromString = (flag) => {
  process._rawDebug(JSON.stringify({ event: 'flag', flag }))
  setFlagsFromString(flag)
}
syncBuiltinESMExports()
`,
  )
  const herd = await startHerd(t, { ...options, nodeArgs: ['--import', spy, ...(options?.nodeArgs ?? [])] })
  await herd.stop()
  return herd.matching({ event: 'flag' }).map(({ flag }) => flag)
}

const IDLE = `export const run = ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve))`
const ASLEEP = { module: './workers/one.mjs', activation: { topics: ['x'] } }
const others = Object.fromEntries(Array.from({ length: MANY - 1 }, (_, i) => [`w${i}`, ASLEEP]))
const LARGE = { config: { workers: { one: {}, ...others } }, workers: { one: IDLE } }
const BOTH = [...OWN.postpone, ...OWN.resume]

t.test('a large herd postpones it while its config is read and while it starts, and only then', async (t) => {
  t.same(await flagsOf(t, LARGE), [...BOTH, ...BOTH])
})

t.test('of two workers it is postponed where that costs nothing: on Node 20', async (t) => {
  const small = { config: {}, workers: { one: IDLE, two: IDLE } }
  t.same(await flagsOf(t, small), VERSION.startsWith('20.') ? [...BOTH, ...BOTH] : [])
})

t.test('what the user gave node is not touched', { skip }, async (t) => {
  for (const name of NAMES) t.same(await flagsOf(t, { ...LARGE, nodeArgs: [`${name}=7`] }), [])
})

t.test('a herd starts where V8 takes no flags any more', async (t) => {
  t.same(await flagsOf(t, { ...LARGE, nodeArgs: ['--freeze-flags-after-init'] }), [])
})
