// The bundle in dist/ is byre: it hosts in every placement, reloads, finds its own files, and exports what the sources export.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runCleanNode } from '../helpers/clean-node.ts'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const bin = join(dirname(fileURLToPath(import.meta.url)), '../../../dist/bin.js')
const skip = existsSync(bin) ? false : 'dist/ is missing: run `npm run build`'

const ERRORS = `import { ByreError } from '${new URL('../../../dist/index.js', import.meta.url).href}'
`
const WORKER = `${ERRORS}import { readFileSync } from 'node:fs'
export async function run(ctx) {
  await ctx.bus.publish('system.x', {}).catch((error) => ctx.log.info({ event: 'refused-here', entry: readFileSync('/proc/self/cmdline', 'utf8'),
    same: error instanceof ByreError }, 'refused'))
  for await (const message of ctx.bus.subscribe('ask.' + ctx.name, { signal: ctx.signal }))
    await message.reply({ from: ctx.name })
}
`
const CLERK = `${ERRORS}
export async function run(ctx) {
  for (const name of ['here', 'thread', 'process'])
    ctx.log.info({ event: 'answer', answer: await ctx.bus.request('ask.' + name, {}) }, 'asked')
  await ctx.bus.publish('system.x', {}).catch((error) =>
    ctx.log.info({ event: 'refused', same: error instanceof ByreError }, 'refused'))
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}
`

t.test('the bundle hosts shared, thread and process workers and reloads its config', { skip }, async (t) => {
  const config = {
    workers: {
      thread: { placement: 'thread' as const },
      process: { placement: 'process' as const },
      clerk: { after: ['here', 'thread', 'process'] },
    },
  }
  const workers = { here: WORKER, thread: WORKER, process: WORKER, clerk: CLERK }
  const herd = await startHerd(t, { bin, config, workers })
  for (const from of ['here', 'thread', 'process']) await herd.line({ event: 'answer', answer: { from } })
  t.match(await herd.line({ event: 'refused' }), { same: true }, 'its errors are those that byre exports')
  for (const worker of ['here', 'thread', 'process'])
    t.match(await herd.line({ worker, event: 'refused-here' }), { same: true }, `${worker}: likewise`)
  t.match(await herd.line({ worker: 'process', event: 'refused-here' }), {
    entry: /dist\/placement\/child\/process-entry\.js/,
  })
  const { placement, pid } = await herd.worker('process')
  t.equal(placement, 'process')
  t.not(pid, herd.pid)

  herd.configure({ ...config, workers: { ...config.workers, here: { config: { new: true } } } }, workers)
  const mark = herd.mark()
  herd.signal('SIGHUP')
  t.match(await herd.line({ event: 'reloaded' }, mark), { changed: ['here'] })
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('the bundle knows its version, its usage and its problems', { skip }, async (t) => {
  const version = await runCleanNode([bin, '--version'])
  t.match(version, { code: 0, stdout: /^\d+\.\d+\.\d+/ })
  t.match(await runCleanNode([bin, '--help']), { code: 0, stdout: /supervise/ })
  t.match(await runCleanNode([bin, 'supervise', '--config', '/nowhere/byre.config.js']), { code: 78 })
})

t.test('a public entry exports what its source exports', { skip }, async (t) => {
  for (const entry of ['index', 'worker', 'audit', 'measure', 'lazy']) {
    const source = (await import(new URL(`../../src/${entry}.js`, import.meta.url).href)) as object
    const bundled = (await import(new URL(`../../../dist/${entry}.js`, import.meta.url).href)) as object
    t.same(Object.keys(bundled).sort(), Object.keys(source).sort(), entry)
  }
})

t.test('every file that is found by its path is there', { skip }, async (t) => {
  const source = new URL('../../src/', import.meta.url)
  const paths = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.js'))
    .flatMap((path) => [...readFileSync(new URL(path, source), 'utf8').matchAll(/ownFile\('([^']+\.js)'\)/g)])
    .map(([, path]) => path!)
  t.ok(paths.length >= 8, `${paths.length} of them`)
  for (const path of paths) t.ok(existsSync(new URL(`../../../dist/${path}`, import.meta.url)), path)
})

t.test('the package has at most 250 files and 1.5 MB', { skip }, async (t) => {
  const { stdout } = await runCleanNode(
    [join(dirname(process.execPath), 'npm'), 'pack', '--dry-run', '--json', '--ignore-scripts'],
    {
      cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    },
  )
  const [{ entryCount, unpackedSize }] = JSON.parse(stdout) as [{ entryCount: number; unpackedSize: number }]
  t.ok(entryCount <= 250, `${entryCount} files`)
  t.ok(unpackedSize <= 1_500_000, `${unpackedSize} bytes`)
})
