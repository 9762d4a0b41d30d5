// The imports of real files, read in a real child: the same files that Node loads, and the entries that reach each.
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { ImportsRequest } from '../../src/imports/protocol.ts'
import { readImports } from '../../src/imports/read.ts'
import type { ImportsFigures } from '../../src/imports/read.ts'
import { entriesReaching } from '../../src/imports/table.ts'
import type { ReachTable } from '../../src/imports/table.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Owner {
  teardown(fn: () => unknown): void
}

function folderOf(t: Owner, files: Readonly<Record<string, string | { readonly link: string }>>): string {
  const folder = realpathSync(mkdtempSync('/tmp/bi-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    if (typeof content === 'string') writeFileSync(join(folder, path), content)
    else symlinkSync(content.link, join(folder, path))
  }
  return folder
}

async function read(
  folder: string,
  entries: readonly string[],
  more: Partial<ImportsRequest> = {},
): Promise<{
  of: (path: string) => readonly string[] | undefined
  table: ReachTable
  figures: ImportsFigures
}> {
  const request: ImportsRequest = {
    entries: entries.map((path) => [path, join(folder, path)]),
    own: [],
    ownRoot: '/nowhere/',
    cacheFile: join(folder, 'cache.json'),
    sourceMaps: false,
    ...more,
  }
  const found = await readImports(request, new AbortController().signal)
  return { ...found, of: (path) => entriesReaching(found.table, join(folder, path)) }
}

/** Each file notes that it was evaluated. */
const esm = (text = ''): string => `${text}\n;(globalThis.seen ??= new Set()).add(import.meta.url)`
const cjs = (text = ''): string => `${text}\n;(globalThis.seen ??= new Set()).add(__filename)`
const pack = (fields: object): string => JSON.stringify({ name: 'x', version: '1.0.0', ...fields })

t.test('the files that Node loads are those that are found, and no others', async (t) => {
  const folder = folderOf(t, {
    'package.json': pack({
      name: 'app',
      type: 'module',
      exports: './self.js',
      imports: { '#inner': './inner.js' },
    }),
    'a.mjs': esm(`
      import './lib/one.js'
      import './link.js'
      import 'conditional'
      import 'conditional/sub/deep.js'
      import '#inner'
      import 'app'
      import './common.cjs'
      import data from './data.json' with { type: 'json' }
      import { createRequire } from 'node:module'
      import '@scope/linked'
      createRequire(import.meta.url)('./made.cjs')
      await import('./late.js')
      import('node:fs')
      if (data === undefined) await import('./lib/no-such-file.js')`),
    'lib/one.js': esm(`export * from '../lib/two.js?query'`),
    'lib/two.js': esm(),
    'link.js': { link: 'real/target.js' },
    'real/target.js': esm(`import './beside.js'`),
    'real/beside.js': esm(),
    'beside.js': esm(),
    'inner.js': esm(),
    'self.js': esm(),
    'late.js': esm(),
    'data.json': '{}',
    'common.cjs': cjs(
      `require('./folder'); require('./bare'); require('conditional'); try { require('absent') } catch {}`,
    ),
    'folder/index.js': esm(),
    'folder/package.json': pack({ type: 'commonjs', main: 'main.js' }),
    'folder/main.js': cjs(),
    'bare.cjs': cjs(),
    'bare.js': '',
    'made.cjs': cjs(`module.require('./deep/made.cjs')`),
    'deep/made.cjs': cjs(),
    'node_modules/conditional/package.json': pack({
      exports: {
        '.': {
          browser: './browser.js',
          node: { import: './esm.mjs', require: './cjs.js' },
          default: './no.js',
        },
        './sub/*.js': './lib/*.mjs',
      },
    }),
    'node_modules/conditional/browser.js': cjs(),
    'node_modules/conditional/no.js': cjs(),
    'node_modules/conditional/esm.mjs': esm(),
    'node_modules/conditional/cjs.js': cjs(`require('nested')`),
    'node_modules/conditional/lib/deep.mjs': esm(),
    'node_modules/conditional/node_modules/nested/index.js': cjs(),
    'node_modules/nested/index.js': cjs(),
    'node_modules/@scope/linked': { link: '../../packages/linked' },
    'packages/linked/package.json': pack({ name: '@scope/linked', type: 'module', main: 'main.js' }),
    'packages/linked/main.js': esm(`import './more.js'; import 'own-dependency'`),
    'packages/linked/more.js': esm(),
    'packages/linked/node_modules/own-dependency/index.js': cjs(),
  })
  const script = `await import(${JSON.stringify(join(folder, 'a.mjs'))}); process.stdout.write(JSON.stringify([...seen]))`
  const loaded = (
    JSON.parse(
      execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }),
    ) as string[]
  )
    .map((name) => (name.startsWith('file:') ? fileURLToPath(name.replace(/\?.*$/, '')) : name))
    .map((path) => path.slice(folder.length + 1))
  t.equal(loaded.length, 19)
  const { of } = await read(folder, ['a.mjs'])
  for (const path of loaded) t.same(of(path), ['a.mjs'], `${path} was loaded`)
  for (const path of [
    'beside.js',
    'link.js',
    'bare.cjs',
    'folder/index.js',
    'node_modules/conditional/browser.js',
    'node_modules/conditional/no.js',
    'node_modules/nested/index.js',
  ]) {
    t.notOk(loaded.includes(path), `${path} was not loaded`)
    t.equal(of(path), undefined, `${path} is not found`)
  }
})

t.test('every CommonJS file that Node loads of three large packages is found', async (t) => {
  const folder = folderOf(t, { 'a.mjs': `import 'typeorm'; import 'bullmq'; import 'mathjs'` })
  symlinkSync(
    dirname(dirname(createRequire(import.meta.url).resolve('tap/package.json'))),
    join(folder, 'node_modules'),
  )
  const script = `import { createRequire } from 'node:module'
    await import(${JSON.stringify(join(folder, 'a.mjs'))})
    process.stdout.write(JSON.stringify(Object.keys(createRequire('/').cache)))`
  const loaded = JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }),
  ) as string[]
  t.ok(loaded.length > 300, `${loaded.length} files`)
  const { table } = await read(folder, ['a.mjs'])
  const missing = loaded.filter((path) => path.endsWith('js') && entriesReaching(table, path) === undefined)
  t.same(missing, [])
})

t.test(
  'what several reach has all of them, and byre counts with its packages and with the config',
  async (t) => {
    const folder = folderOf(t, {
      'a.mjs': `import './only-a.mjs'; import './both.mjs'; import 'mine'; import 'driver'; import './settings.mjs'`,
      'b.mjs': `import './both.mjs'; import 'used'`,
      'config.mjs': `import './settings.mjs'`,
      'only-a.mjs': '',
      'both.mjs': `import './further.mjs'`,
      'further.mjs': '',
      'settings.mjs': '',
      'node_modules/mine/index.js': '',
      'node_modules/used/index.js': '',
      'node_modules/driver/index.js': `require('parser')`,
      'node_modules/parser/index.js': '',
      'node_modules/byre/package.json': pack({ name: 'byre', dependencies: { driver: '1' } }),
      'node_modules/driver/package.json': pack({ name: 'driver', dependencies: { parser: '1' } }),
      'node_modules/parser/package.json': pack({ name: 'parser' }),
    })
    const more = { own: [join(folder, 'config.mjs')], ownRoot: join(folder, 'node_modules/byre/dist/') }
    const { of } = await read(folder, ['a.mjs', 'b.mjs'], more)
    t.same(of('only-a.mjs'), ['a.mjs'])
    t.same(of('further.mjs'), ['a.mjs', 'b.mjs'])
    t.same(of('node_modules/mine/index.js'), ['a.mjs'])
    t.same(of('node_modules/used/index.js'), ['b.mjs'])
    t.same(of('node_modules/driver/index.js'), ['', 'a.mjs'], 'a dependency of byre')
    t.same(of('node_modules/parser/index.js'), ['', 'a.mjs'], 'and what that needs')
    t.same(of('settings.mjs'), ['', 'a.mjs'], 'the config imports it too')
  },
)

t.test(
  'a worker that computes names of files reaches every file of the project, except entries',
  async (t) => {
    const folder = folderOf(t, {
      'a.mjs': `import './lib/a.mjs'; import 'mine'`,
      'b.mjs': `await import('./lib/' + name)`,
      'lib/a.mjs': '',
      'node_modules/mine/index.js': `require(name)`,
    })
    const { of } = await read(folder, ['a.mjs', 'b.mjs'])
    t.same(of('lib/a.mjs'), ['a.mjs', 'b.mjs'])
    t.same(of('a.mjs'), ['a.mjs'])
    t.same(of('node_modules/mine/index.js'), ['a.mjs'], 'a computed name in a package counts for nothing')
  },
)

t.test('a source file has the owners of the files that were compiled from it', async (t) => {
  const map = (fields: object): string => JSON.stringify({ version: 3, mappings: '', ...fields })
  const inline = Buffer.from(map({ sources: ['../src/inline.ts'] })).toString('base64')
  const folder = folderOf(t, {
    'dist/a.js': `import './inline.js'; import './rooted.js'; import './both.js'\n//# sourceMappingURL=a.js.map`,
    'dist/a.js.map': map({ sources: ['../src/a.ts', 'webpack://app/no.ts'] }),
    'dist/inline.js': `\n//# sourceMappingURL=data:application/json;charset=utf-8;base64,${inline}`,
    'dist/rooted.js': `\n//# sourceMappingURL=maps/rooted.map`,
    'dist/maps/rooted.map': map({ sourceRoot: '../../src/', sources: ['rooted.ts'] }),
    'dist/both.js': `\n//# sourceMappingURL=both.js.map`,
    'dist/both.js.map': map({ sources: ['../src/both.ts'] }),
    'dist/b.js': `import './both.js'\n//# sourceMappingURL=b.js.map`,
    'dist/b.js.map': `damaged`,
  })
  const { of } = await read(folder, ['dist/a.js', 'dist/b.js'])
  for (const path of ['src/a.ts', 'src/inline.ts', 'src/rooted.ts']) t.same(of(path), ['dist/a.js'], path)
  t.same(of('src/both.ts'), ['dist/a.js', 'dist/b.js'])
})

t.test('what a loader for TypeScript would find is found', async (t) => {
  const folder = folderOf(t, {
    'a.ts': `import { b } from './b.js'; import './c'; import './d'; import type { X } from './types.js'; const x: number = 1`,
    'b.ts': '',
    'c.tsx': '',
    'd/index.ts': '',
    'types.ts': '',
  })
  const { of } = await read(folder, ['a.ts'])
  for (const path of ['b.ts', 'c.tsx', 'd/index.ts']) t.same(of(path), ['a.ts'], path)
  t.equal(of('types.ts'), undefined, 'types are not loaded')
})

t.test('a second reading parses only what has changed', async (t) => {
  const folder = folderOf(t, { 'a.mjs': `import './b.mjs'; import './c.mjs'`, 'b.mjs': '', 'c.mjs': '' })
  t.match((await read(folder, ['a.mjs'])).figures, { files: 3, read: 3, unread: 0 })
  t.match((await read(folder, ['a.mjs'])).figures, { files: 3, read: 0 })
  writeFileSync(join(folder, 'b.mjs'), `import './d.mjs'`)
  writeFileSync(join(folder, 'd.mjs'), '')
  utimesSync(join(folder, 'b.mjs'), 1, 1)
  const third = await read(folder, ['a.mjs'])
  t.match(third.figures, { files: 4, read: 2 })
  t.same(third.of('d.mjs'), ['a.mjs'])
  writeFileSync(join(folder, 'cache.json'), readFileSync(join(folder, 'cache.json'), 'utf8').slice(0, -9))
  t.match((await read(folder, ['a.mjs'])).figures, { files: 4, read: 4 }, 'a damaged cache is not used')
})

t.test(
  'a missing entry, a circle, a fifo and a folder with the name of a file end the reading',
  async (t) => {
    const folder = folderOf(t, {
      'a.mjs': `import './a.mjs'; import './pipe.mjs'; import './folder.mjs'`,
      'folder.mjs/x': '',
    })
    execFileSync('mkfifo', [join(folder, 'pipe.mjs')])
    const { of, figures } = await read(folder, ['a.mjs', 'missing.mjs'])
    t.same(of('a.mjs'), ['a.mjs'])
    t.equal(figures.unread, 0)
  },
)

t.test('a child that is ended is reported with the way it ended', async (t) => {
  const folder = folderOf(t, {})
  const ended = new AbortController()
  const request = {
    entries: [],
    own: [],
    ownRoot: '/nowhere/',
    cacheFile: join(folder, 'c'),
    sourceMaps: false,
  }
  const reading = readImports(request, ended.signal)
  ended.abort()
  await t.rejects(reading, { code: 'BYRE_IMPORTS_UNREAD' })
})
