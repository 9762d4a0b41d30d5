// In the shared loop an error is charged to the worker that alone imports the code that threw it, in whosever context it
// surfaces: callbacks of shared clients, listeners on shared targets, finalizers, packages, links, source maps.
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { transformSync } from 'esbuild'
import t from 'tap'
import type { Test } from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd, HerdOptions } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Case extends Pick<HerdOptions, 'files' | 'nodeArgs'> {
  readonly workers: Readonly<Record<string, string>>
  /** Paths of the modules, where they are not workers/NAME.mjs. */
  readonly modules?: Readonly<Record<string, string>>
  /** By path relative to the folder, the target. */
  readonly links?: Readonly<Record<string, string>>
  /** The worker whose code threw. */
  readonly charged: string
  readonly message: string | RegExp
}

const stopped = `if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
const worker = (imports: string, body: string): string =>
  `${imports}\nexport async function run(ctx) {\n  ${body}\n  ${stopped}\n}\n`
const after = (ms: number): string => `await new Promise((resolve) => setTimeout(resolve, ${ms}))`

/** A client with one socket, opened by whoever needs it first, that calls callbacks. */
const CLIENT = `
import { connect, createServer } from 'node:net'
const echo = createServer((socket) => socket.pipe(socket))
const waiting = []
let socket
export async function client() {
  if (socket === undefined) {
    await new Promise((resolve) => echo.listen(0, '127.0.0.1', resolve))
    socket = connect(echo.address().port, '127.0.0.1')
    socket.on('data', (text) => { for (const _ of String(text).trim().split('\\n')) waiting.shift()?.('OK') })
  }
  return { get: (callback) => { waiting.push(callback); socket.write('x\\n') } }
}`
const OPENER = worker(`import { client } from '../lib/client.mjs'`, `(await client()).get(() => {})`)
const caller = (imports: string, callback: string): string =>
  worker(
    `import { client } from '../lib/client.mjs'\n${imports}`,
    `${after(20)}; (await client()).get(${callback})`,
  )

/** Collects garbage until the test is over. */
const COLLECT = `
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
setFlagsFromString('--expose-gc')
export const collect = runInNewContext('gc')
setFlagsFromString('--no-expose-gc')`
const collecting = (imports: string, track: string): string =>
  worker(
    `import { collect } from '../lib/collect.mjs'\n${imports}`,
    `for (let i = 0; i < 100; i++) ${track}; ctx.every('20ms', () => collect())`,
  )
const IDLE = worker('', '')

const CALLBACKS: Readonly<Record<string, Case>> = {
  'a callback in a helper, called by the socket of another worker': {
    files: {
      'lib/client.mjs': CLIENT,
      'lib/invoice.mjs': `export const onInvoice = () => { throw new Error('no lines') }`,
    },
    workers: {
      stock: OPENER,
      invoices: caller(`import { onInvoice } from '../lib/invoice.mjs'`, 'onInvoice'),
    },
    charged: 'invoices',
    message: 'no lines',
  },
  'a callback in a helper, called by a client of ctx.use': {
    files: {
      'lib/client.mjs': CLIENT,
      'lib/invoice.mjs': `export const onInvoice = () => { throw new Error('no lines') }`,
    },
    workers: {
      stock: worker(
        `import { client } from '../lib/client.mjs'`,
        `(await ctx.use({ key: 'client', create: client })).get(() => {})`,
      ),
      invoices: worker(
        `import { client } from '../lib/client.mjs'\nimport { onInvoice } from '../lib/invoice.mjs'`,
        `${after(20)}; (await ctx.use({ key: 'client', create: client })).get(onInvoice)`,
      ),
    },
    charged: 'invoices',
    message: 'no lines',
  },
  'a callback in a CommonJS package that only one worker requires, three files down': {
    files: {
      'lib/client.mjs': CLIENT,
      'node_modules/parse-rows/package.json': `{"name":"parse-rows","exports":{"require":"./lib/index.js"}}`,
      'node_modules/parse-rows/lib/index.js': `exports.onRow = require('./deep').onRow`,
      'node_modules/parse-rows/lib/deep.js': `exports.onRow = () => { throw new Error('bad row') }`,
      'lib/rows.cjs': `exports.onRow = require('parse-rows').onRow`,
    },
    workers: { stock: OPENER, invoices: caller(`import { onRow } from '../lib/rows.cjs'`, 'onRow') },
    charged: 'invoices',
    message: 'bad row',
  },
  'a callback in a helper that is imported late, called by a timer of a shared module': {
    files: {
      'lib/wheel.mjs': `
const due = []
export function begin() { setInterval(() => due.shift()?.(), 5) }
export const next = (fn) => due.push(fn)`,
      'lib/late.mjs': `export const tick = () => { throw new Error('tick') }`,
    },
    workers: {
      stock: worker(`import { begin } from '../lib/wheel.mjs'`, `begin()`),
      invoices: worker(
        `import { next } from '../lib/wheel.mjs'`,
        `next((await import('../lib/late.mjs')).tick)`,
      ),
    },
    charged: 'invoices',
    message: 'tick',
  },
}

const REFUSED = `
let connection
export const connected = () => (connection ??= connect())
async function connect() { ${after(10)}; throw new Error('refused') }`

const REJECTIONS: Readonly<Record<string, Case>> = {
  'a cached promise that one worker awaits with a catch and another one without': {
    files: { 'lib/db.mjs': REFUSED },
    workers: {
      careful: worker(`import { connected } from '../lib/db.mjs'`, `try { await connected() } catch {}`),
      careless: worker(
        `import { connected } from '../lib/db.mjs'\nasync function refresh() { await connected() }`,
        `${after(40)}; void refresh()`,
      ),
    },
    charged: 'careless',
    message: 'refused',
  },
  'the same, awaited through Promise.all in a helper of each': {
    files: {
      'lib/db.mjs': REFUSED,
      'lib/careful.mjs': `import { connected } from './db.mjs'\nexport async function all() { await Promise.all([connected(), 1]) }`,
      'lib/careless.mjs': `import { connected } from './db.mjs'\nexport async function all() { await Promise.all([1, connected()]) }`,
    },
    workers: {
      careful: worker(`import { all } from '../lib/careful.mjs'`, `await all().catch(() => {})`),
      careless: worker(`import { all } from '../lib/careless.mjs'`, `${after(40)}; void all()`),
    },
    charged: 'careless',
    message: 'refused',
  },
  'the same, with a promise of a CommonJS package': {
    files: {
      'node_modules/db/index.js': `let connection; exports.connected = () => (connection ??= connect())
async function connect() { await null; throw new Error('refused') }`,
    },
    workers: {
      careful: worker(`import db from 'db'`, `try { await db.connected() } catch {}`),
      careless: worker(`import db from 'db'`, `${after(40)}; void (async () => { await db.connected() })()`),
    },
    charged: 'careless',
    message: 'refused',
  },
}

const WITHOUT_CONTEXT: Readonly<Record<string, Case>> = {
  'a finalizer in a helper': {
    files: {
      'lib/collect.mjs': COLLECT,
      'lib/leak-check.mjs': `
const registry = new FinalizationRegistry(() => { throw new Error('leaked') })
export const track = (handle) => registry.register(handle, 1)`,
    },
    workers: {
      files: collecting(`import { track } from '../lib/leak-check.mjs'`, `track({ i })`),
      sibling: IDLE,
    },
    charged: 'files',
    message: 'leaked',
  },
  'a finalizer in a CommonJS package': {
    files: {
      'lib/collect.mjs': COLLECT,
      'node_modules/leak-check/index.js': `
const registry = new FinalizationRegistry(() => { throw new Error('leaked') })
exports.track = (handle) => registry.register(handle, 1)`,
    },
    workers: { files: collecting(`import { track } from 'leak-check'`, `track({ i })`), sibling: IDLE },
    charged: 'files',
    message: 'leaked',
  },
  'the callback of one worker in a registry that two share': {
    files: {
      'lib/collect.mjs': COLLECT,
      'lib/registry.mjs': `
const registry = new FinalizationRegistry((fn) => fn())
export const whenGone = (handle, fn) => registry.register(handle, fn)`,
      'lib/on-gone.mjs': `export const onGone = () => { throw new Error('gone') }`,
    },
    workers: {
      files: collecting(
        `import { whenGone } from '../lib/registry.mjs'\nimport { onGone } from '../lib/on-gone.mjs'`,
        `whenGone({ i }, onGone)`,
      ),
      sibling: worker(`import { whenGone } from '../lib/registry.mjs'`, `whenGone(ctx, () => {})`),
    },
    charged: 'files',
    message: 'gone',
  },
}

const TARGET = `export const target = new EventTarget()\nexport const controller = new AbortController()`

const LISTENERS: Readonly<Record<string, Case>> = {
  'a listener in a helper, on an EventTarget to which another worker dispatches': {
    files: {
      'lib/bus.mjs': TARGET,
      'lib/shutdown.mjs': `export const onSwitch = (target, fn) => target.addEventListener('flip', () => fn().total.toFixed(2))`,
    },
    workers: {
      ledger: worker(
        `import { target } from '../lib/bus.mjs'\nimport { onSwitch } from '../lib/shutdown.mjs'`,
        `onSwitch(target, () => ({}))`,
      ),
      flipper: worker(
        `import { target } from '../lib/bus.mjs'`,
        `${after(40)}; target.dispatchEvent(new Event('flip'))`,
      ),
    },
    charged: 'ledger',
    message: /toFixed/,
  },
  'a listener in a helper, on a BroadcastChannel to which another worker posts': {
    files: {
      'lib/channel.mjs': `export const onChannel = (name, fn) => { const c = new BroadcastChannel(name); c.onmessage = () => fn().total.toFixed(2) }`,
    },
    workers: {
      ledger: worker(`import { onChannel } from '../lib/channel.mjs'`, `onChannel('flip', () => ({}))`),
      flipper: worker(
        '',
        `${after(40)}; const channel = new BroadcastChannel('flip'); channel.postMessage(1); setTimeout(() => channel.close(), 20)`,
      ),
    },
    charged: 'ledger',
    message: /toFixed/,
  },
  'a listener in a helper, on the signal that another worker aborts': {
    files: {
      'lib/bus.mjs': TARGET,
      'lib/on-abort.mjs': `export const onAbort = (signal) => signal.addEventListener('abort', () => { throw new Error('aborted') }, { once: true })`,
    },
    workers: {
      ledger: worker(
        `import { controller } from '../lib/bus.mjs'\nimport { onAbort } from '../lib/on-abort.mjs'`,
        `onAbort(controller.signal)`,
      ),
      flipper: worker(`import { controller } from '../lib/bus.mjs'`, `${after(40)}; controller.abort()`),
    },
    charged: 'ledger',
    message: 'aborted',
  },
  'handleEvent of an object whose class only one worker imports': {
    files: {
      'lib/bus.mjs': TARGET,
      'lib/audit.mjs': `export class Audit { handleEvent() { this.lines.push(1) } }`,
    },
    workers: {
      ledger: worker(
        `import { target } from '../lib/bus.mjs'\nimport { Audit } from '../lib/audit.mjs'`,
        `target.addEventListener('flip', new Audit())`,
      ),
      flipper: worker(
        `import { target } from '../lib/bus.mjs'`,
        `${after(40)}; target.dispatchEvent(new Event('flip'))`,
      ),
    },
    charged: 'ledger',
    message: /push/,
  },
}

const THREADS: Readonly<Record<string, Case>> = {
  'an error in a thread that nobody listens for': {
    files: {
      'lib/thumbs.mjs': `import { Worker } from 'node:worker_threads'
export const thumbs = () => new Worker('setTimeout(() => { throw new Error("corrupt jpeg") }, 20)', { eval: true })`,
    },
    workers: { images: worker(`import { thumbs } from '../lib/thumbs.mjs'`, `thumbs()`), sibling: IDLE },
    charged: 'images',
    message: 'corrupt jpeg',
  },
  'an error in a thread whose file nobody imports': {
    files: {
      'lib/thread.mjs': `await null; throw new Error('corrupt png')`,
      'lib/thumbs.mjs': `import { Worker } from 'node:worker_threads'
export const thumbs = () => new Worker(new URL('./thread.mjs', import.meta.url))`,
    },
    workers: { images: worker(`import { thumbs } from '../lib/thumbs.mjs'`, `thumbs()`), sibling: IDLE },
    charged: 'images',
    message: 'corrupt png',
  },
  'a thread that a shared module starts for one worker': {
    files: {
      'lib/pool.mjs': `import { Worker } from 'node:worker_threads'
export const start = (code) => new Worker(code, { eval: true })`,
    },
    workers: {
      images: worker(
        `import { start } from '../lib/pool.mjs'`,
        `${after(20)}; start('Promise.reject(new Error("no codec"))')`,
      ),
      sibling: worker(`import { start } from '../lib/pool.mjs'`, `start('')`),
    },
    charged: 'images',
    message: 'no codec',
  },
}

const LINKS: Readonly<Record<string, Case>> = {
  'a module behind a link of a package manager, whose code is in a linked package': {
    files: {
      'lib/client.mjs': CLIENT,
      'packages/shared/package.json': `{"name":"@mono/shared","type":"module","exports":"./index.js"}`,
      'packages/shared/index.js': `export const boom = () => { throw new Error('in a workspace package') }`,
      'packages/jobs/package.json': `{"name":"@mono/jobs","type":"module","exports":{"./*":"./*.js"}}`,
      'packages/jobs/mail.js': worker(
        `import { client } from '../../lib/client.mjs'\nimport { boom } from '@mono/shared'`,
        `${after(20)}; (await client()).get(boom)`,
      ),
    },
    links: {
      'node_modules/@mono/jobs': '../../packages/jobs',
      'packages/jobs/node_modules/@mono/shared': '../../../shared',
    },
    modules: { mail: 'node_modules/@mono/jobs/mail.js' },
    workers: { stock: OPENER },
    charged: 'mail',
    message: 'in a workspace package',
  },
  'a release behind a link': {
    files: {
      'lib/client.mjs': CLIENT,
      'releases/1/mail.mjs': worker(
        `import { client } from '../../lib/client.mjs'\nimport { boom } from './boom.mjs'`,
        `${after(20)}; (await client()).get(boom)`,
      ),
      'releases/1/boom.mjs': `export const boom = () => { throw new Error('in a release') }`,
    },
    links: { current: 'releases/1' },
    modules: { mail: 'current/mail.mjs' },
    workers: { stock: OPENER },
    charged: 'mail',
    message: 'in a release',
  },
  'a module that is itself a link, with --preserve-symlinks': {
    files: {
      'lib/client.mjs': CLIENT,
      'lib/boom.mjs': `export const boom = () => { throw new Error('beside the target') }`,
      'workers/boom.mjs': `export const boom = () => { throw new Error('beside the link') }`,
      'lib/mail.mjs': worker(
        `import { client } from '../lib/client.mjs'\nimport { boom } from './boom.mjs'`,
        `${after(20)}; (await client()).get(boom)`,
      ),
    },
    links: { 'workers/mail.mjs': '../lib/mail.mjs' },
    nodeArgs: ['--preserve-symlinks'],
    modules: { mail: 'workers/mail.mjs' },
    workers: { stock: OPENER },
    charged: 'mail',
    message: 'beside the link',
  },
}

/** What a compiler writes for `source`, and its source map. */
function compiled(path: string, source: string, mapInFile = false): Record<string, string> {
  const name = path.replace(/^.*\//, '')
  const { code, map } = transformSync(source, {
    loader: 'ts',
    sourcefile: `../src/${name}.ts`,
    sourcemap: mapInFile ? 'inline' : 'external',
  })
  const dist = `dist/${name}.js`
  return mapInFile
    ? { [dist]: code }
    : { [dist]: `${code}//# sourceMappingURL=${name}.js.map\n`, [`${dist}.map`]: map }
}

const THROWS = `\n\nexport const onInvoice = (): void => { throw new Error('in TypeScript') }\n`
const COMPILED = {
  'dist/package.json': `{"type":"module"}`,
  'lib/client.mjs': CLIENT,
  ...compiled('invoices', caller(`import { onInvoice } from './lines.js'`, 'onInvoice')),
}

const SOURCE_MAPS: Readonly<Record<string, Case>> = {
  'a helper, where the stack names its source and the config the compiled module': {
    files: { ...COMPILED, ...compiled('lines', THROWS) },
    nodeArgs: ['--enable-source-maps'],
    modules: { invoices: 'dist/invoices.js' },
    workers: { stock: OPENER },
    charged: 'invoices',
    message: 'in TypeScript',
  },
  'a helper with its source map inside': {
    files: { ...COMPILED, ...compiled('lines', THROWS, true) },
    nodeArgs: ['--enable-source-maps'],
    modules: { invoices: 'dist/invoices.js' },
    workers: { stock: OPENER },
    charged: 'invoices',
    message: 'in TypeScript',
  },
  'the module itself': {
    files: {
      ...COMPILED,
      ...compiled('lines', ''),
      ...compiled('invoices', caller('', `() => { throw new Error('in TypeScript') }`)),
    },
    nodeArgs: ['--enable-source-maps'],
    modules: { invoices: 'dist/invoices.js' },
    workers: { stock: OPENER },
    charged: 'invoices',
    message: 'in TypeScript',
  },
}

/** The lines that report an error, by event. */
const REPORTS: ReadonlySet<string> = new Set([
  'exit',
  'internal-error',
  'imports-unread',
  'resource-error',
  'unattributed',
])

async function start(
  t: Test,
  { files = {}, links = {}, modules = {}, workers, nodeArgs = [] }: Case,
): Promise<Herd> {
  const folder = herdFolder(t)
  for (const [path, target] of Object.entries(links)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    symlinkSync(target, join(folder, path))
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  const others = Object.entries(modules).map(([name, module]) => [name, { module: `./${module}` }])
  return startHerd(t, {
    folder,
    workers,
    config: { workers: Object.fromEntries(others) },
    nodeArgs,
    args: ['--log-level', 'debug'],
  })
}

for (const [group, cases] of Object.entries({
  'callbacks of shared clients': CALLBACKS,
  'rejections of shared promises': REJECTIONS,
  'callbacks without a context': WITHOUT_CONTEXT,
  'listeners on shared targets': LISTENERS,
  'errors of threads': THREADS,
  'symbolic links': LINKS,
  'source maps': SOURCE_MAPS,
}))
  t.test(group, async (t) => {
    for (const [law, given] of Object.entries(cases))
      t.test(law, async (t) => {
        const { charged, message } = given
        const herd = await start(t, given)
        const reported = await herd.line({ event: (event: string) => REPORTS.has(event) })
        t.match(reported, { event: 'exit', worker: charged, verdict: 'threw-stray', evidence: { message } })
        const { code } = await herd.stop()
        t.equal(code, 0, 'the herd was not drained')
        const exits = herd.matching({ event: 'exit', verdict: 'threw-stray' })
        t.same(new Set(exits.map(({ worker: name }) => name)), new Set([charged]))
        const others = herd.matching({ event: (event: string) => event !== 'exit' && REPORTS.has(event) })
        t.same(others, [], 'nobody else is named')
      })
  })

t.test('a storm of errors starts one child', async (t) => {
  const storm = `export const storm = () => { for (let i = 0; i < 2000; i++) setTimeout(() => { throw new Error('storm') }, 1) }`
  const herd = await start(t, {
    files: { 'lib/storm.mjs': storm },
    workers: {
      noisy: worker(`import { storm } from '../lib/storm.mjs'`, `if (ctx.wake.by === 'start') storm()`),
      quiet: IDLE,
    },
    charged: 'noisy',
    message: 'storm',
  })
  await herd.line({ event: 'exit', worker: 'noisy' })
  await herd.line({ event: 'imports-read' })
  await herd.stop()
  t.equal(herd.matching({ event: 'imports-read' }).length, 1)
})

t.test('code of a worker that has ended charges nobody', async (t) => {
  const herd = await start(t, {
    files: {
      'lib/hooks.mjs': `export const hooks = []`,
      'lib/hook.mjs': `export const hook = (signal) => () => { if (signal.aborted) throw new Error('too late') }`,
    },
    workers: {
      caller: worker(
        `import { hooks } from '../lib/hooks.mjs'`,
        `setInterval(() => { for (const hook of hooks) hook() }, 5)`,
      ),
      gone: worker(
        `import { hooks } from '../lib/hooks.mjs'\nimport { hook } from '../lib/hook.mjs'`,
        `hooks.push(hook(ctx.signal))`,
      ),
    },
    charged: '',
    message: '',
  })
  await herd.act('gone', 'stop')
  await herd.line({ event: 'late-error', worker: 'gone' })
  await herd.stop()
  t.same(herd.matching({ event: 'exit', worker: 'caller', verdict: 'threw-stray' }), [])
})

t.test('a herd without errors reads no imports', async (t) => {
  const herd = await start(t, { workers: { a: IDLE, b: IDLE }, charged: '', message: '' })
  await herd.stop()
  t.same(herd.matching({ event: 'imports-read' }), [])
})
