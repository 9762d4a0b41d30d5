// A worker in the shared loop that replaces a global is reported, and output of other workers is still attributed to them.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { siblingRuns, SUBJECT, host, UNTOUCHED } from './places.ts'

leakGuard(t)

interface Replacement {
  readonly what: string
  /** Replaces it with a working replacement. */
  readonly code: string
  /** `kind` of the line. */
  readonly kind: RegExp
}

const REPLACEMENTS: readonly Replacement[] = [
  { what: 'console.log', code: `console.log = (...all) => print(...all)`, kind: /console\.log$/ },
  { what: 'console.error', code: `console.error = (...all) => print(...all)`, kind: /console\.error$/ },
  { what: 'console', code: `globalThis.console = new Console(process.stdout)`, kind: /:console$/ },
  { what: 'fetch', code: `globalThis.fetch = async () => new Response('mocked')`, kind: /:fetch$/ },
  { what: 'a global that Node does not have', code: `globalThis.db = { name: 'mine' }`, kind: /:db$/ },
  { what: 'JSON.stringify', code: `wrap(JSON, 'stringify')`, kind: /JSON\.stringify$/ },
  { what: 'Date.now', code: `wrap(Date, 'now')`, kind: /Date\.now$/ },
  { what: 'Date', code: `globalThis.Date = class extends Date {}`, kind: /:Date$/ },
  { what: 'setTimeout', code: `wrap(globalThis, 'setTimeout')`, kind: /:setTimeout$/ },
  {
    what: 'a method of a prototype',
    code: `wrap(Array.prototype, 'includes')`,
    kind: /Array\.prototype\.includes$/,
  },
  {
    what: 'Promise.prototype.then',
    code: `wrap(Promise.prototype, 'then')`,
    kind: /Promise\.prototype\.then$/,
  },
]

const HELP = `
import { Console } from 'node:console'
const print = (...all) => process.stdout.write(all.join(' ') + '\\n')
function wrap(host, name) {
  const before = host[name]
  host[name] = function (...all) { return before.apply(this, all) }
}
`
const RUN = `
export async function run(ctx) {
  if (!ctx.config.load) change()
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

for (const load of [true, false])
  void t.test(`a global replaced by ${load ? 'a module while it loads' : 'a run'} is reported`, async (t) => {
    for (const { what, code, kind } of REPLACEMENTS)
      await t.test(what, async (t) => {
        const source = `${HELP}\nconst change = () => { ${code} }\n${load ? 'change()' : ''}\n${RUN}`
        const herd = await host(t, 'shared', source, { config: { load } })
        await herd.untilWorker(SUBJECT, (worker) => worker.state === 'running')
        // Detected at the latest when the run has ended.
        await herd.act(SUBJECT, 'stop')
        await herd.untilWorker(SUBJECT, (worker) => worker.state === 'stopped')
        t.match(await herd.line({ worker: SUBJECT, event: 'process-touched', kind }, 0, 2000), { level: 40 })
        t.equal(
          herd.matching({ event: 'process-touched' }).length,
          1,
          'it is reported once, and nothing else is',
        )
        t.same(await siblingRuns(herd), UNTOUCHED)
        t.same(await herd.stop(), { code: 0, signal: null })
        t.same(herd.matching({ raw: /./ }), [], 'every line of the log is JSON')
      })
  })

void t.test('a global that is restored before the run ends is not reported', async (t) => {
  const source = `
export async function run(ctx) {
  const { log } = console
  console.log = () => {}
  console.log = log
  const { stringify } = JSON
  JSON.stringify = () => 'replaced'
  JSON.stringify = stringify
  globalThis.db = 1
  delete globalThis.db
  ctx.log.info({ event: 'put-back' }, 'put back')
}`
  const herd = await host(t, 'shared', source)
  await herd.untilWorker(SUBJECT, (worker) => worker.state === 'stopped')
  t.same(herd.matching({ event: 'process-touched' }), [])
})

/** Like winston's console transport: a stream of records, written one after the other to the console's internal stream. */
const LOGGER = `
import { Transform, Writable } from 'node:stream'
const format = new Transform({ objectMode: true, transform: (record, _, done) => done(null, { ...record, text: '[noisy] ' + record.message }) })
format.pipe(new Writable({ objectMode: true, write(record, _, done) { console._stdout.write(record.text + '\\n'); done() } }))
console.log = (...all) => format.write({ message: all.join(' ') })
`

void t.test(
  'output of console.log is attributed to its worker when another worker has replaced console.log',
  async (t) => {
    const waits = `await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
    for (const [where, noisy] of [
      ['while it loaded', `${LOGGER}\nexport async function run(ctx) { ${waits} }`],
      [
        'in its run',
        `${LOGGER.replace('console.log =', 'const log =')}\nexport async function run(ctx) { console.log = log; ${waits} }`,
      ],
    ] as const)
      await t.test(where, async (t) => {
        const herd = await startHerd(t, {
          workers: {
            noisy,
            victim: `export async function run(ctx) {
            for (let i = 0; i < 5; i++) console.log('hello from victim ' + i)
            await new Promise((resolve) => setTimeout(resolve, 20))
            console.log('and again')
            ${waits}
          }`,
          },
          config: { workers: { victim: { after: ['noisy'] } } },
        })
        for (const text of ['hello from victim 0', 'hello from victim 4', 'and again'])
          t.match(await herd.line({ msg: new RegExp(text) }), { worker: 'victim', stream: 'stdout' })
        t.same(await herd.stop(), { code: 0, signal: null })
        t.same(herd.matching({ raw: /./ }), [])
      })
  },
)
