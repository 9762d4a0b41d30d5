// Which failed loads fail again in the same process. Real imports in a clean child process throw the errors.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { isAboutAFile, placeOfSyntaxError } from '../../src/worker/load-failure.ts'
import { runCleanNode } from '../helpers/clean-node.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const folder = mkdtempSync(join(tmpdir(), 'byre-f-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

/** Failures caused by the files on disk: source by entry. */
const PERMANENT: Readonly<Record<string, string>> = {
  'syntax.mjs': `const a = {`,
  'syntax.cjs': `const a = {`,
  'below.mjs': `import './syntax.mjs'`,
  'below-cjs.mjs': `import './broken.cjs'`,
  'require.cjs': `require('./syntax.cjs')`,
  'create-require.mjs': `import { createRequire } from 'node:module'; createRequire(import.meta.url)('./syntax.cjs')`,
  'later.mjs': `await import('./syntax.mjs')`,
  'name.mjs': `import { nothing } from 'node:fs'`,
  'json.cjs': `require('./bad.json')`,
  'package.mjs': `import 'no-such-package'`,
  'package.cjs': `require('no-such-package')`,
}
/** Failures of a program during its evaluation. */
const TRANSIENT: Readonly<Record<string, string>> = {
  'throws.mjs': `throw new Error('not reachable')`,
  'throws-syntax.mjs': `throw new SyntaxError('mine')`,
  'parses.mjs': `JSON.parse('{ a')`,
  'parses.cjs': `JSON.parse('{ a')`,
  'evaluates.mjs': `eval('a b')`,
  'makes-a-function.mjs': `new Function('a b')`,
  'makes-a-regexp.mjs': `new RegExp('(')`,
  'makes-a-script.mjs': `import vm from 'node:vm'; new vm.Script('a b', { filename: '/lib/a.js' })`,
  'compiles.mjs': `import vm from 'node:vm'; vm.compileFunction('a b')`,
  'reads.mjs': `import { readFileSync } from 'node:fs'; readFileSync('/no/such/file')`,
  'throws-nothing.mjs': `throw undefined`,
  'throws-hostile.mjs': `throw new Proxy({}, new Proxy({}, { get() { throw 1 } }))`,
  'no-frames.mjs': `Error.stackTraceLimit = 0; JSON.parse('{ a')`,
}

t.test('isAboutAFile separates permanent from transient failures', async (t) => {
  for (const [name, source] of Object.entries({
    ...PERMANENT,
    ...TRANSIENT,
    'bad.json': '{ a',
    'broken.cjs': 'const a = {',
  }))
    writeFileSync(join(folder, name), source)
  const tested = join(dirname(fileURLToPath(import.meta.url)), '../../src/worker/load-failure.js')
  writeFileSync(
    join(folder, 'main.mjs'),
    `import { isAboutAFile } from ${JSON.stringify(tested)}
process.on('unhandledRejection', () => {}) // Node rejects a promise of its own when a CommonJS module fails.
const results = {}
for (const name of ${JSON.stringify(Object.keys({ ...PERMANENT, ...TRANSIENT }))})
  results[name] = await import('./' + name).then(() => 'loaded', isAboutAFile)
console.log(JSON.stringify(results))`,
  )
  const { stdout, stderr } = await runCleanNode([join(folder, 'main.mjs')])
  t.equal(stderr, '')
  const results = JSON.parse(stdout) as Record<string, unknown>
  for (const name of Object.keys(PERMANENT)) t.equal(results[name], true, `${name} fails again`)
  for (const name of Object.keys(TRANSIENT))
    t.equal(results[name], false, `${name} may load on the next attempt`)
})

t.test('hostile errors are not about a file and have no place', async (t) => {
  const throwing = {
    get: () => () => {
      throw new Error('trap')
    },
  }
  for (const error of [undefined, null, 'MODULE_NOT_FOUND', 1, {}, new Proxy({}, throwing)]) {
    t.equal(isAboutAFile(error), false)
    t.equal(placeOfSyntaxError(error), undefined)
  }
})

t.test('the place comes from the text that V8 puts in front of the stack', async (t) => {
  const placed = (stack: string): string | undefined =>
    placeOfSyntaxError(Object.defineProperty(new SyntaxError('a'), 'stack', { value: stack }))
  t.equal(placed('/lib/a b.cjs:3\n  x\n  ^\nSyntaxError: a'), '/lib/a b.cjs:3')
  t.equal(placed('file:///lib/a%20b.mjs?byre=2:17\n  x\nSyntaxError: a'), '/lib/a b.mjs:17')
  t.equal(placed('evalmachine.<anonymous>:1\na b\n  ^\nSyntaxError: a'), undefined)
  t.equal(placed('SyntaxError: a\n    at x:1\n'), undefined)
})
