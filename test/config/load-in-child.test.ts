// Evaluates configs in a real child process, as a reload does.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { ByreError } from '../../src/base/errors.ts'
import { type LoadInChildOptions, loadHerdInChild } from '../../src/config/load-in-child.ts'
import { loadHerd } from '../../src/config/load.ts'
import { makeFolder } from './herd.ts'

const WORKERS = `{ w: { module: './workers/a.js', config: { big: 'ü'.repeat(300_000) } } }`

function folderWith(content: string, name = 'byre.config.mjs'): string {
  const folder = makeFolder()
  writeFileSync(join(folder, name), content)
  return folder
}

async function failure(options: LoadInChildOptions): Promise<ByreError> {
  try {
    await loadHerdInChild(options)
  } catch (error) {
    return error as ByreError
  }
  throw new Error('the load succeeded')
}

t.test(
  'the child returns the same herd as a load in this process, and sees every change of the file',
  async (t) => {
    const cwd = folderWith(`export default { name: 'one', workers: ${WORKERS} }`)
    t.same(await loadHerdInChild({ cwd }), await loadHerd({ cwd }))
    writeFileSync(join(cwd, 'byre.config.mjs'), `export default { name: 'two', workers: ${WORKERS} }`)
    t.equal((await loadHerdInChild({ cwd })).name, 'two')
  },
)

t.test('the child receives the environment without NODE_OPTIONS', async (t) => {
  const cwd = folderWith(
    `export default { name: process.env.HERD_NAME, workers: { w: { module: './workers/a.js', config: { options: process.env.NODE_OPTIONS ?? null, argv: process.execArgv } } } }`,
  )
  // /usr/bin/env -i: the test runner adds its own NODE_OPTIONS to every child process.
  const { execFileSync } = await import('node:child_process')
  const script = join(cwd, 'script.mjs')
  const loader = join(import.meta.dirname, '../../src/config/load-in-child.js')
  writeFileSync(
    script,
    `import { loadHerdInChild } from ${JSON.stringify(loader)}
     const herd = await loadHerdInChild({ cwd: ${JSON.stringify(cwd)}, env: { ...process.env, HERD_NAME: 'from-env' } })
     console.log(JSON.stringify([herd.name, herd.workers[0].config]))`,
  )
  const args = ['-i', 'NODE_OPTIONS=--no-deprecation', process.execPath, script]
  t.same(JSON.parse(execFileSync('/usr/bin/env', args, { encoding: 'utf8' })), [
    'from-env',
    { options: null, argv: [] },
  ])
})

t.test('errors of the child keep their code, message and details', async (t) => {
  const cwd = folderWith(`export default { name: 'a b', workers: {}, control: { secret: 'hunter2' } }`)
  const error = await failure({ cwd })
  t.match(error, { name: 'ByreError', code: 'BYRE_CONFIG_INVALID', message: /3 problems\n {2}name: / })
  t.match(error.details?.['problems'], [{ path: 'name' }, { path: 'control.secret' }, { path: 'workers' }])
  t.notMatch(JSON.stringify(error.details), /hunter2/)
  t.match(await failure({ cwd, file: 'nope.mjs' }), { code: 'BYRE_CONFIG_NOT_FOUND' })
  const broken = folderWith('const a = 1\nexport default { , }')
  t.match(await failure({ cwd: broken }), { message: /line 2: SyntaxError/, details: { line: 2 } })
})

t.test('a config that ends its process is reported with its last output', async (t) => {
  for (const [code, message] of [
    [
      `console.error('last output'); process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})`,
      /was killed by SIGKILL before it answered\. Its output: last output/,
    ],
    [
      `setImmediate(() => { throw new Error('stray boom') }); await new Promise((done) => setTimeout(done, 1000))`,
      /exited with code 1 before it answered\. Its output: [^]*stray boom/,
    ],
    [`process.reallyExit(7)`, /exited with code 7 before it answered/],
    [
      `import { writeSync } from 'node:fs'; writeSync(3, '{"ok":1}\\n'); export default {}`,
      /data other than its answer/,
    ],
  ] as const) {
    t.match(await failure({ cwd: folderWith(code) }), { code: 'BYRE_CONFIG_INVALID', message })
  }
})

t.test('a grandchild that keeps all pipes open does not delay the load', async (t) => {
  const cwd = folderWith(
    `import { spawn } from 'node:child_process'
     import { writeFileSync } from 'node:fs'
     const child = spawn('/bin/sleep', ['60'], { stdio: ['ignore', 1, 2, 3], detached: true })
     child.unref()
     writeFileSync('pid', String(child.pid))
     if (process.env.CRASH === 'yes') process.reallyExit(5)
     export default { name: 'shop', workers: { w: { module: './workers/a.js' } } }`,
  )
  const startedAt = performance.now()
  try {
    t.equal((await loadHerdInChild({ cwd })).name, 'shop')
    process.kill(Number(readFileSync(join(cwd, 'pid'), 'utf8')), 'SIGKILL')
    t.match(await failure({ cwd, env: { ...process.env, CRASH: 'yes' } }), { message: /exited with code 5/ })
  } finally {
    process.kill(Number(readFileSync(join(cwd, 'pid'), 'utf8')), 'SIGKILL')
  }
  t.ok(performance.now() - startedAt < 50_000)
})

t.test(
  'the output of a config is passed to the caller once, bounded, and never mixes with the result',
  async (t) => {
    const cwd = folderWith(`console.log('x'.repeat(100_000) + 'end'); console.error('')
    export default { name: 'shop', workers: { w: { module: './workers/a.js' } } }`)
    const printed: string[] = []
    await loadHerdInChild({ cwd, onOutput: (text) => printed.push(text) })
    t.equal(printed.length, 1)
    t.ok(printed[0]!.length <= 8192 && printed[0]!.trimEnd().endsWith('end'))
    const silent = folderWith(`export default { name: 'shop', workers: { w: { module: './workers/a.js' } } }`)
    await loadHerdInChild({ cwd: silent, onOutput: () => t.fail('nothing was printed') })
  },
)

t.test(
  'an endless loop ends at the limit of the child, an endless await at the limit of the config',
  async (t) => {
    // The clock fires the long limit as soon as the config is known to be looping.
    let fire = (): void => {}
    const clock: Clock = {
      ...systemClock,
      setTimer: (delayMs, fn, options) => {
        if (delayMs < 10_000) return systemClock.setTimer(delayMs, fn, options)
        fire = fn
        return { cancel: () => {} }
      },
    }
    const loop = folderWith(
      `import { writeFileSync } from 'node:fs'; writeFileSync('looping', ''); for (;;);`,
    )
    const pending = failure({ cwd: loop, clock })
    const { watch } = await import('node:fs')
    await new Promise<void>((seen) => {
      const watcher = watch(loop, (_, name) => {
        if (name !== 'looping') return
        watcher.close()
        seen()
      })
    })
    fire()
    t.match(await pending, {
      code: 'BYRE_CONFIG_INVALID',
      message: /did not answer within 20s and was killed\. Check for an endless loop/,
    })
    t.match(await failure({ cwd: folderWith('await new Promise(() => {})'), evaluateMs: 50 }), {
      message: /did not end within 50ms/,
    })
  },
)

t.test('an aborted load kills the child and rejects with the reason', async (t) => {
  const cwd = folderWith('await new Promise(() => {})')
  for (const when of [(fn: () => void) => fn(), setImmediate, (fn: () => void) => setTimeout(fn, 20)]) {
    const controller = new AbortController()
    const pending = failure({ cwd, signal: controller.signal })
    when(() => controller.abort(new Error('shutting down')))
    t.match(await pending, { message: 'shutting down' })
  }
  t.match(await failure({ cwd, signal: AbortSignal.abort(new Error('before')) }), { message: 'before' })
})

t.test('a herd that exceeds the answer limit is refused and not buffered', async (t) => {
  const cwd = folderWith(
    `const env = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => ['KEY_' + i, 'x'.repeat(100)]))
     const workers = Object.fromEntries(Array.from({ length: 400 }, (_, i) => ['w' + i, { module: './workers/a.js' }]))
     export default { name: 'shop', defaults: { env }, workers }`,
  )
  t.match(await failure({ cwd }), { message: /returned a herd of more than 67108864 bytes of JSON/ })
})
