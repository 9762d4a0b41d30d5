// A module that cannot be loaded as its files are is not loaded again until somebody asks, in every placement: another
// attempt fails as well. It is named with its file and the remedy, nothing of it goes on, and its sibling is left alone.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { WorkerConfig } from '../../src/config/types.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const RUN = `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))\n`

interface Kind {
  readonly source: string
  /** The extension of its entry. @default 'mjs' */
  readonly ext?: string
  readonly reason: RegExp
}

const KINDS: Readonly<Record<string, Kind>> = {
  'no-run': { source: `export const start = 1`, reason: /no-run\.mjs must export a function 'run'/ },
  'no-run-cjs': { ext: 'cjs', source: `exports.go = 1`, reason: /no-run-cjs\.cjs must .*'run', got exports/ },
  'no-exports-cjs': { ext: 'cjs', source: `require('node:fs')`, reason: /no-exports-cjs\.cjs must .*'run'/ },
  'run-no-function': { source: `export const run = 1`, reason: /run-no-function\.mjs must .*'run', got exp/ },
  syntax: { source: `export const run = (ctx => {`, reason: /SyntaxError: .*, in .*workers\/syntax\.mjs\./ },
  'syntax-cjs': {
    ext: 'cjs',
    source: `exports.run = {`,
    reason: /SyntaxError: .*, in .*syntax-cjs\.cjs:\d+\./,
  },
  'syntax-below': {
    source: `import '../lib/fine.mjs'\n${RUN}`,
    reason: /SyntaxError: .*, in .*lib\/broken\.mjs\./,
  },
  'syntax-below-cjs': {
    source: `import '../lib/broken.cjs'\n${RUN}`,
    reason: /SyntaxError: .*, in .*lib\/broken\.cjs:\d+\./,
  },
  'no-such-name': {
    source: `import { nothing } from '../lib/leaf.mjs'\n${RUN}`,
    reason: /SyntaxError: .*'nothing', in .*no-such-name\.mjs:1\./,
  },
  'bad-json': {
    ext: 'cjs',
    source: `require('../lib/bad.json')\nexports.run = () => {}`,
    reason: /SyntaxError: .*lib\/bad\.json: /,
  },
  'no-package': { source: `import 'no-such-package'\n${RUN}`, reason: /'no-such-package' .*no-package\.mjs/ },
  'no-package-cjs': {
    ext: 'cjs',
    source: `exports.run = require('no-such-package')`,
    reason: /'no-such-package'/,
  },
  'no-file-below': { source: `import '../lib/lost.mjs'\n${RUN}`, reason: /missing\.mjs.*lib\/lost\.mjs/ },
  'no-file-later': { source: `await import('./gone.mjs')\n${RUN}`, reason: /gone\.mjs/ },
  'not-exported': {
    source: `import 'closed/inside.js'\n${RUN}`,
    reason: /'\.\/inside\.js' is not .*exports/,
  },
  'bad-package': { source: `import 'unreadable'\n${RUN}`, reason: /unreadable\/package\.json/ },
  extension: { ext: 'foo', source: RUN, reason: /extension "\.foo" for .*extension\.foo/ },
  'extension-below': {
    source: `import '../lib/x.foo'\n${RUN}`,
    reason: /extension "\.foo" for .*lib\/x\.foo/,
  },
  directory: { source: `import '../lib'\n${RUN}`, reason: /Directory import .*directory\.mjs/ },
}

const FILES: Readonly<Record<string, string>> = {
  'lib/fine.mjs': `import './broken.mjs'`,
  'lib/broken.mjs': `export const a = {`,
  'lib/broken.cjs': `const a = {`,
  'lib/leaf.mjs': `export const some = 1`,
  'lib/lost.mjs': `import './missing.mjs'`,
  'lib/bad.json': `{ a`,
  'lib/x.foo': '',
  'node_modules/closed/package.json': `{ "exports": { ".": "./index.js" } }`,
  'node_modules/closed/inside.js': '',
  'node_modules/unreadable/package.json': `{ name`,
}

const NAMES = Object.keys(KINDS)
const fileOf = (name: string): string => `workers/${name}.${KINDS[name]?.ext ?? 'mjs'}`

for (const placement of ['shared', 'thread', 'process'] as const)
  t.test(`in ${placement}`, async (t) => {
    const entry = (name: string): [string, WorkerConfig] => [
      name,
      { module: `./${fileOf(name)}`, placement, limit: { failures: 5, within: '5m' }, onLimit: 'eject' },
    ]
    const sources = NAMES.map((name) => [fileOf(name), KINDS[name]?.source ?? ''])
    const herd = await startHerd(t, {
      workers: { sibling: RUN },
      files: { ...FILES, ...(Object.fromEntries(sources) as Record<string, string>) },
      config: { workers: Object.fromEntries(NAMES.map(entry)) },
    })
    const settled = new Map(
      await herd.until('the end of every load', ({ workers }) => {
        const ended = workers.filter(({ state }) => state === 'quarantined' || state === 'running')
        return ended.length === NAMES.length + 1 && ended.map((worker) => [worker.name, worker] as const)
      }),
    )
    for (const name of NAMES)
      t.test(`${name} is not loaded again`, async (t) => {
        const { lastExit, ...worker } = settled.get(name)!
        t.match(worker, { state: 'quarantined', restarts: 0, failures: 1, placement })
        t.equal(lastExit?.verdict, 'launch-failed')
        t.match(lastExit?.reason, KINDS[name]!.reason, 'its file is named')
        t.match(
          lastExit?.reason,
          new RegExp(`Another attempt cannot succeed. .*'byre start ${name}'`),
          'and the remedy',
        )
        t.equal(worker.quarantine, lastExit?.reason)
      })
    t.test('a start by hand loads it again', async (t) => {
      for (const name of ['no-run', 'run-no-function', 'syntax', 'no-package']) {
        writeFileSync(join(herd.folder, fileOf(name)), RUN)
        t.equal((await herd.act(name, 'start')).status, 202)
        await herd.untilWorker(name, ({ state }) => state === 'running')
      }
      for (const name of ['no-run-cjs', 'no-exports-cjs', 'syntax-cjs', 'no-package-cjs']) {
        writeFileSync(join(herd.folder, fileOf(name)), `exports.run = ${RUN.slice(RUN.indexOf('('))}`)
        t.equal((await herd.act(name, 'start')).status, 202)
        await herd.untilWorker(name, ({ state }) => state === 'running')
      }
    })
    t.test('the sibling is in its first run', async (t) => {
      t.match(await herd.worker('sibling'), { state: 'running', wakes: 1, failures: 0 })
      t.same(await herd.stop(), { code: 0, signal: null })
      t.same(herd.matching({ event: /^(unattributed|internal-error)$/ }), [])
    })
  })
