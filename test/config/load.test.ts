// Loads real config files, as byre does at start.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ByreError } from '../../src/base/errors.ts'
import { loadHerd } from '../../src/config/load.ts'
import { makeFolder } from './herd.ts'

const WORKERS = `{ w: { module: './workers/a.js' } }`
const GOOD = `export default { name: 'shop', workers: ${WORKERS} }\n`
const GOOD_JSON = '{ "name": "shop", "workers": { "w": { "module": "./workers/a.js" } } }'

async function failure(load: Promise<unknown>): Promise<ByreError> {
  try {
    await load
  } catch (error) {
    return error as ByreError
  }
  throw new Error('the load succeeded')
}

function folderWith(name: string, content: string | Buffer): { folder: string; file: string } {
  const folder = makeFolder()
  const file = join(folder, name)
  writeFileSync(file, content)
  return { folder, file }
}

t.test('the config in the folder is found; a given file resolves against the folder', async (t) => {
  for (const [name, content] of [
    ['byre.config.js', GOOD],
    ['byre.config.mjs', GOOD],
    ['byre.config.json', GOOD_JSON],
  ] as const) {
    const { folder, file } = folderWith(name, content)
    const herd = await loadHerd({ cwd: folder })
    t.match(herd, { name: 'shop', file, folder })
    t.equal(herd.workers[0]?.source.path, join(folder, 'workers/a.js'))
  }
  const { folder, file } = folderWith('other.cjs', `module.exports = { name: 'shop', workers: ${WORKERS} }`)
  t.equal((await loadHerd({ cwd: folder, file: './other.cjs' })).file, file)
  t.equal((await loadHerd({ cwd: '/', file })).file, file)
})

t.test('a config may import, await and read the environment', async (t) => {
  const { folder } = folderWith(
    'byre.config.mjs',
    `import { workers } from './part.mjs'
     await new Promise((done) => setImmediate(done))
     export default { name: process.env.BYRE_TEST_NAME ?? 'shop', workers }`,
  )
  writeFileSync(join(folder, 'part.mjs'), `export const workers = ${WORKERS}`)
  t.equal((await loadHerd({ cwd: folder })).name, 'shop')
})

t.test('without a config, BYRE_CONFIG_NOT_FOUND names the remedy', async (t) => {
  const folder = makeFolder()
  const none = await failure(loadHerd({ cwd: folder }))
  t.match(none, {
    code: 'BYRE_CONFIG_NOT_FOUND',
    message: /it has none of byre\.config\.js, .*Pass --config FILE/,
  })
  const missing = await failure(loadHerd({ cwd: folder, file: 'nope.js' }))
  t.match(missing, { code: 'BYRE_CONFIG_NOT_FOUND', message: /nope\.js': no such file/ })
  t.match(await failure(loadHerd({ cwd: join(folder, 'nope') })), { code: 'BYRE_CONFIG_NOT_FOUND' })
})

t.test('two configs in one folder are refused with both names', async (t) => {
  const { folder } = folderWith('byre.config.js', GOOD)
  writeFileSync(join(folder, 'byre.config.json'), GOOD_JSON)
  t.match(await failure(loadHerd({ cwd: folder })), {
    code: 'BYRE_CONFIG_INVALID',
    message: /byre\.config\.js' and '.*byre\.config\.json' both exist\. Remove one, or pass --config/,
  })
})

t.test('a file that is not a config file is refused', async (t) => {
  const { folder } = folderWith('byre.config.yaml', 'name: shop')
  mkdirSync(join(folder, 'dir.js'))
  symlinkSync('/dev/null', join(folder, 'null.js'))
  for (const [file, message] of [
    ['byre.config.yaml', /must end in \.js, \.mjs, .* got '\.yaml'/],
    ['dir.js', /it is a folder/],
    ['null.js', /not a regular file/],
  ] as const) {
    t.match(await failure(loadHerd({ cwd: folder, file })), { code: 'BYRE_CONFIG_INVALID', message })
  }
})

t.test('a config of 10 MB is refused before it is read', async (t) => {
  for (const name of ['byre.config.js', 'byre.config.json']) {
    const { folder } = folderWith(name, Buffer.alloc(10_000_000, 32))
    t.match(await failure(loadHerd({ cwd: folder })), { message: /at most 8388608 bytes, got 10000000/ })
  }
})

const LONG = `"${'x'.repeat(5000)}"`
const TABLE: readonly [
  title: string,
  name: string,
  content: string | Buffer,
  message: RegExp,
  line?: number,
][] = [
  ['throws', 'c.mjs', `\n\nthrow new Error('boom')`, /c\.mjs': line 3, column 7: it threw Error: boom$/, 3],
  [
    'throws with a URL',
    'c.mjs',
    `throw new Error('redis://u:hunter2@h refused')`,
    /redis:\/\/\*\*\*@h refused/,
    1,
  ],
  ['throws a string', 'c.mjs', `throw 'boom'`, /it threw string: boom/],
  ['throws undefined', 'c.mjs', 'throw undefined', /it threw undefined: undefined/],
  [
    'throws a hostile object',
    'c.mjs',
    `throw { get message() { throw 1 } }`,
    /a value that throws when read/,
  ],
  ['rejects', 'c.mjs', `await Promise.reject(new TypeError('late'))`, /it threw TypeError: late/, 1],
  [
    'reads a property of undefined',
    'c.mjs',
    `const a = {}\nexport default { name: a.b.c }`,
    /line 2, column \d+: it threw TypeError/,
    2,
  ],
  [
    'imports a missing file',
    'c.mjs',
    `import x from './nope.mjs'\nexport default x`,
    /Cannot find module '.*nope\.mjs' imported from .*c\.mjs/,
  ],
  ['imports a missing package', 'c.mjs', `import 'no-such-package'`, /Cannot find package 'no-such-package'/],
  ['imports a missing name', 'c.mjs', `\nimport { zzz } from 'node:fs'`, /line 2: SyntaxError: .*'zzz'/, 2],
  [
    'has a syntax error',
    'c.mjs',
    `const a = 1\nexport default { a: , }`,
    /line 2: SyntaxError: Unexpected token ','/,
    2,
  ],
  [
    'exports nothing',
    'c.mjs',
    'const a = 1',
    /no default export \(it exports nothing\)\. Use: export default defineHerd/,
  ],
  ['is empty', 'c.mjs', '', /no default export \(it exports nothing\)/],
  [
    'exports by name only',
    'c.mjs',
    'export const config = {}',
    /no default export \(it exports only 'config'\)/,
  ],
  [
    'exports a function',
    'c.mjs',
    'export default () => ({})',
    /default export is a function\. Export its result instead/,
  ],
  ['exports a class', 'c.mjs', 'export default class {}', /default export is a function/],
  ['exports undefined', 'c.mjs', 'export default undefined', /default export is undefined/],
  [
    'exports a promise',
    'c.mjs',
    'export default Promise.resolve({})',
    /default export is a promise\. Add 'await' before it/,
  ],
  [
    'exports a thenable',
    'c.mjs',
    'export default { name: 1, workers: 1, then() {} }',
    /then: must be JSON, got a function/,
  ],
  ['exits', 'c.mjs', `\nprocess.exit(0)`, /it threw Error: process\.exit\(0\) was called/, 2],
  ['is JSON and empty', 'c.json', ' \n', /it is empty\. It needs at least/],
  [
    'has a byte order mark',
    'c.json',
    `\ufeff${GOOD_JSON}`,
    /line 1, column 1: it begins with a byte order mark/,
    1,
  ],
  [
    'is UTF-16',
    'c.json',
    Buffer.from(`\ufeff${GOOD_JSON}`, 'utf16le'),
    /byte order mark\. Save it as UTF-8/,
    1,
  ],
  [
    'is Latin-1',
    'c.json',
    Buffer.from('{\n"name": "b\u00e4h"}', 'latin1'),
    /line 2: it is not valid UTF-8/,
    2,
  ],
  [
    'has a trailing comma',
    'c.json',
    '{\n  "name": "shop",\n}',
    /line 2, column 17: JSON does not allow a comma after the last entry/,
    2,
  ],
  ['has a trailing comma in a list', 'c.json', '[1,]', /line 1, column 3: JSON does not allow a comma/, 1],
  [
    'has a comment',
    'c.json',
    '{\n  // hello\n  "name": "shop" }',
    /line 2, column 3: .*a comment, which JSON does not allow/,
    2,
  ],
  ['has single quotes', 'c.json', "{ 'name': 1 }", /a single quote, where JSON requires double quotes/, 1],
  ['has a bare key', 'c.json', '{ name: 1 }', /expected a key in double quotes, found 'n'/, 1],
  ['lacks a comma', 'c.json', '{ "a": 1\n"b": 2 }', /line 2, column 1: expected ',' or '}', found '"'/, 2],
  ['lacks a colon', 'c.json', '{ "a" 1 }', /expected ':' after the key, found '1'/, 1],
  ['is truncated', 'c.json', '{ "a": ', /expected a value, found the end of the text/, 1],
  ['has an unterminated string', 'c.json', '{ "a": "xyz', /line 1, column 8: unterminated string/, 1],
  [
    'has a line break in a string',
    'c.json',
    '{ "a": "x\ny" }',
    /a string contains a line break or control character/,
    1,
  ],
  ['has a bad escape', 'c.json', '{ "a": "\\x" }', /invalid escape sequence/, 1],
  ['has a bad number', 'c.json', '{ "a": 01 }', /invalid number/, 1],
  ['has NaN', 'c.json', '{ "a": NaN }', /expected a value, found 'N'/, 1],
  ['has two values', 'c.json', '{} {}', /unexpected text after the end/, 1],
  [
    'has a key twice',
    'c.json',
    '{ "workers": { "a": {},\n"\\u0061": {} } }',
    /line 2, column 1: duplicate key/,
    2,
  ],
  [
    'is nested too deep',
    'c.json',
    '['.repeat(100_000),
    /line 1, column 65: the nesting is deeper than 64 levels/,
    1,
  ],
  [
    'has a secret next to the error',
    'c.json',
    `{ "secret": "hunter2", ${LONG} }`,
    /expected ':' after the key/,
    1,
  ],
  [
    'has problems',
    'c.json',
    '{ "name": 1 }',
    /^Cannot use the config '.*c\.json': 2 problems\n {2}name: .*\n {2}workers: is missing$/,
  ],
]

for (const [title, name, content, message, line] of TABLE) {
  t.test(`a config that ${title} gives an error that names the file`, async (t) => {
    const { folder, file } = folderWith(name, content)
    const error = await failure(loadHerd({ cwd: folder, file: name }))
    t.match(error, { name: 'ByreError', code: 'BYRE_CONFIG_INVALID', message })
    t.ok(error.message.includes(file), 'the message names the file')
    t.notMatch(error.message, /hunter2/)
    t.equal(error.details?.['line'], line)
  })
}

t.test('an error in a module that the config imports names that module', async (t) => {
  for (const [content, message] of [
    [`throw new Error('deep')`, /it threw Error: deep \(at '.*part\.mjs:1'\)/],
    ['const = 1', /SyntaxError: .* \(in a module that it imports\)/],
  ] as const) {
    const { folder } = folderWith('byre.config.mjs', `import './part.mjs'`)
    writeFileSync(join(folder, 'part.mjs'), content)
    t.match(await failure(loadHerd({ cwd: folder })), { message })
  }
})

t.test('the load of a config with top-level code that never ends times out', async (t) => {
  const { folder } = folderWith('byre.config.mjs', 'await new Promise(() => {})\nexport default {}')
  const error = await failure(loadHerd({ cwd: folder, evaluateMs: 50 }))
  t.match(error, {
    code: 'BYRE_CONFIG_INVALID',
    message: /did not end within 50ms\. Check for an await that never resolves/,
  })
})

t.test('process.exit is restored after a config', async (t) => {
  const before = Object.getOwnPropertyDescriptor(process, 'exit')
  for (const content of [GOOD, 'process.exit(3)', 'await new Promise(() => {})']) {
    const { folder } = folderWith('byre.config.mjs', content)
    await loadHerd({ cwd: folder, evaluateMs: 50 }).catch(() => {})
    t.same(Object.getOwnPropertyDescriptor(process, 'exit'), before)
  }
})

t.test(
  'a TypeScript config is loaded if the runtime strips types, and refused with the remedy otherwise',
  async (t) => {
    const { folder } = folderWith(
      'byre.config.ts',
      GOOD.replace('default {', 'default <object>{').replace('<object>', ''),
    )
    const { typescript } = process.features as { typescript?: string | false }
    if (typescript === 'strip' || typescript === 'transform')
      t.equal((await loadHerd({ cwd: folder })).name, 'shop')
    else
      t.match(await failure(loadHerd({ cwd: folder })), {
        message: /cannot run TypeScript files\. Use byre\.config\.mjs, or Node 22\.18 or later/,
      })
  },
)
