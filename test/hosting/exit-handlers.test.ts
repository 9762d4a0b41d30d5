// 'exit' and 'beforeExit': a worker's handlers are called when its run ends, as Node calls those of a program that ends.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cleanNode } from '../helpers/clean-node.ts'
import { readLines } from '../helpers/events.ts'
import { herdFolder } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { host, PLACES, siblingRuns, SUBJECT, UNTOUCHED } from './places.ts'

leakGuard(t)

const LISTEN = `
process.on('exit', (code) => console.log('exit ' + code + ' of the module'))
process.on('beforeExit', () => console.log('beforeExit of the module'))
const listen = () => {
  process.once('beforeExit', (code) => console.log('beforeExit ' + code))
  process.on('exit', function (code) { console.log('exit ' + code + ' ' + (this === process)) })
  process.on('exit', () => { throw new Error('in the handler') })
}
const waits = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
`

/** Ways to end, and what a program alone prints. */
const ENDS: Readonly<
  Record<string, { readonly run: string; readonly stop?: true; readonly said: readonly string[] }>
> = {
  'run() resolves': {
    run: `listen()`,
    said: ['beforeExit of the module', 'beforeExit 0', 'exit 0 of the module', 'exit 0 true'],
  },
  'run() rejects': {
    run: `listen(); throw new Error('on purpose')`,
    said: ['exit 1 of the module', 'exit 1 true'],
  },
  'a stray error': {
    run: `listen(); setTimeout(() => { throw new Error('on purpose') }); await waits(ctx)`,
    said: ['exit 1 of the module', 'exit 1 true'],
  },
  'process.exit(3)': { run: `listen(); process.exit(3)`, said: ['exit 3 of the module', 'exit 3 true'] },
  'process.exit(3) in a timer, of a run that ignores its signal': {
    run: `listen(); setTimeout(() => process.exit(3)); await new Promise(() => {})`,
    said: ['exit 3 of the module', 'exit 3 true'],
  },
  'a stop': { run: `listen(); await waits(ctx)`, stop: true, said: ['exit 0 of the module', 'exit 0 true'] },
  'process.exit(4) in a handler of SIGTERM': {
    run: `listen(); process.on('SIGTERM', () => process.exit(4)); await new Promise(() => {})`,
    stop: true,
    said: ['exit 4 of the module', 'exit 4 true'],
  },
}

for (const place of PLACES)
  for (const [how, { run, stop, said }] of Object.entries(ENDS))
    void t.test(`${place}: ${how}`, async (t) => {
      const source = `${LISTEN}\nexport async function run(ctx) { ${run} }`
      const herd = await host(t, place, source, { stopTimeout: '20s' }, { ready: false })
      if (stop === true) {
        await herd.line({ worker: SUBJECT, event: 'transition', to: 'running' })
        if (place === 'run') herd.signal('SIGTERM')
        else await herd.act(SUBJECT, 'stop')
      }
      await herd.line({ msg: said.at(-1)! })
      if (place === 'run') await herd.exit()
      else await herd.line({ worker: SUBJECT, event: 'transition', to: 'stopped' })
      t.same(
        herd.matching({ msg: /^(beforeExit|exit) .*(module|\d|true|false)$/ }).map(({ msg }) => msg),
        said,
      )
      if (place === 'shared') {
        t.match(herd.matching({ event: 'exit-handler-failed' }), [{ message: 'in the handler' }])
        t.same(await siblingRuns(herd), UNTOUCHED)
      }
    })

void t.test('process.abort() ends the worker that calls it, with code 134', async (t) => {
  for (const act of ['process.abort()', 'setTimeout(() => process.abort()); await waits(ctx)']) {
    const herd = await host(t, 'shared', `${LISTEN}\nexport async function run(ctx) { ${act} }`)
    t.match(await herd.line({ worker: SUBJECT, event: 'exit' }), {
      verdict: 'failed',
      evidence: { code: 134, call: 'process.abort()' },
    })
    t.same(await siblingRuns(herd), UNTOUCHED)
  }
})

void t.test('what an imported module does at the exit, it does when the process ends', async (t) => {
  const folder = herdFolder(t)
  const kept = join(folder, 'kept')
  writeFileSync(kept, '')
  const library = `import { unlinkSync } from 'node:fs'\nprocess.on('exit', () => unlinkSync(${JSON.stringify(kept)}))`
  const herd = await host(
    t,
    'shared',
    `import '../library.mjs'\nexport async function run() {}`,
    {},
    { folder, files: { 'library.mjs': library } },
  )
  await herd.line({ worker: SUBJECT, event: 'transition', to: 'stopped' })
  await siblingRuns(herd)
  t.ok(existsSync(kept), 'others use it still')
  await herd.stop()
  t.notOk(existsSync(kept))
})

void t.test(`a worker's listener of 'warning' receives its own warnings`, async (t) => {
  const program = `
process.on('warning', ({ message }) => console.log('warned: ' + message))
process.emitWarning('mine')
setTimeout(() => process.emitWarning('late'), 10)
`
  const folder = herdFolder(t)
  writeFileSync(join(folder, 'plain.mjs'), program)
  const child = cleanNode([join(folder, 'plain.mjs')], { cwd: folder, stdio: ['ignore', 'pipe', 'ignore'] })
  const plain = readLines(child.stdout!)
  await plain.end()
  t.same(plain.all, ['warned: mine', 'warned: late'])
  for (const place of PLACES) {
    const herd = await host(
      t,
      place,
      `export async function run(ctx) { ${program}; await new Promise((resolve) => setTimeout(resolve, 50)) }`,
      {},
      { ready: false },
    )
    await herd.line({ worker: SUBJECT, event: 'transition', to: 'stopped' })
    t.same(
      herd.matching({ msg: /^warned/ }).map(({ msg }) => msg),
      plain.all,
      place,
    )
  }
})
