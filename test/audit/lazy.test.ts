import { pathToFileURL } from 'node:url'
import { join } from 'node:path'
import t from 'tap'
import { lazy, lazyNamespace } from '../../src/audit/lazy.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { writeProgram } from './fixtures.ts'

t.test('lazy loads once, on the first call, and reports the duration and the caller', async (t) => {
  let loads = 0
  const module = lazy(async () => ({ value: ++loads }))
  t.same([loads, module.loaded, module.loadMs, module.firstUse], [0, undefined, undefined, undefined])
  t.same(await Promise.all([module(), module()]), [{ value: 1 }, { value: 1 }])
  t.same([loads, module.loaded], [1, { value: 1 }])
  t.ok(module.loadMs! >= 0)
  t.match(module.firstUse, 'lazy.test')
})

t.test('a failed load is retried by the next call', async (t) => {
  let tries = 0
  const module = lazy(async () => {
    if (++tries === 1) throw new Error('once')
    return tries
  })
  await t.rejects(module(), /once/)
  t.equal(await module(), 2)
})

t.test('a lazy namespace loads each name on first access, from both module systems', async (t) => {
  const cwd = writeProgram(t.testdir({}), {
    'a.cjs': `globalThis.loadedA = (globalThis.loadedA ?? 0) + 1; exports.A = 1`,
    'b.mjs': `globalThis.loadedB = true; export const B = 2`,
    'tla.mjs': `await 0; export const T = 3`,
    'fn.cjs': `module.exports = function named() {}`,
  })
  interface Names {
    A: number
    B: number
    T: number
    missing: number
    default: () => void
  }
  const names = lazyNamespace<Names>(pathToFileURL(join(cwd, 'index.js')).href, {
    A: './a.cjs',
    B: './b.mjs',
    T: './tla.mjs',
    missing: './a.cjs',
    default: './fn.cjs',
  })
  const seen = globalThis as { loadedA?: number; loadedB?: boolean }
  t.same(Object.keys(names), ['A', 'B', 'T', 'missing', 'default'])
  t.same([seen.loadedA, seen.loadedB], [undefined, undefined], 'naming loads nothing')
  t.same([names.A, names.A, names.B, seen.loadedA], [1, 1, 2, 1])
  t.equal(names.default.name, 'named')
  t.throws(() => names.T, { code: 'BYRE_AUDIT_LAZY', message: /top-level await.*lazy\(/s })
  t.throws(() => names.missing, { code: 'BYRE_AUDIT_LAZY', message: /the module exports A/ })
})

t.test('types: names and modules are checked', async (t) => {
  // @ts-expect-error a name that is not in the type
  t.ok(lazyNamespace<{ A: number }>(import.meta.url, { A: './a.cjs', C: './c.cjs' }))
  const path = lazy(() => import('node:path'))
  // @ts-expect-error path has no such function
  t.equal((await path()).nothing, undefined)
})

t.test('BYRE_EAGER=1 loads everything immediately, so that a missing module is found', async (t) => {
  const lazyUrl = new URL('../../src/audit/lazy.js', import.meta.url).href
  const cwd = writeProgram(t.testdir({}), {
    'main.mjs': `import { lazy, lazyNamespace } from ${JSON.stringify(lazyUrl)}
if (process.argv[2] === 'sync') lazyNamespace(import.meta.url, { A: './missing.cjs' })
else lazy(() => import('./missing.mjs'))
console.log('ran')`,
  })
  const run = (kind: string, env: Record<string, string>) =>
    runCleanNode(['--no-warnings', 'main.mjs', kind], { cwd, env })
  for (const kind of ['sync', 'async']) {
    t.equal((await run(kind, {})).code, 0)
    const eager = await run(kind, { BYRE_EAGER: '1' })
    t.equal(eager.code, 1)
    t.match(eager.stderr, /Cannot find module/)
  }
})
