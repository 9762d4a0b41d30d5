// Child processes that a run has started end with the run, in every placement, with their descendants. Those with a session of
// their own are left. Both are named.
import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'
import type { Test } from 'tap'
import type { Placement, WorkerConfig } from '../../src/config/types.ts'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd, LogLine } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { host, PLACES, program, SUBJECT } from './places.ts'
import { marked, running } from './processes.ts'

leakGuard(t)

const SPAWN = `import { spawn } from 'node:child_process'`
const UNTIL_STOP = `await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`
/** Waits for a word that the child prints. */
const says = (child: string, word: string): string =>
  `await new Promise((resolve) => ${child}.stdout.on('data', (text) => String(text).includes('${word}') && resolve()))`

/** A shell with a child of its own, which does not end with its parent. */
const tree = (mark: string): string => `
  const shell = spawn('/bin/sh', ['-c', 'sleep 1000 & echo $!; wait # ${mark}'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const grandchild = Number(await new Promise((resolve) => shell.stdout.once('data', resolve)))
  console.log('pids ' + JSON.stringify([shell.pid, grandchild]))`

async function pidsOf(herd: Herd, from = 0): Promise<number[]> {
  const { msg } = await herd.line({ worker: SUBJECT, msg: /^pids / }, from)
  return JSON.parse(String(msg).slice('pids '.length)) as number[]
}

function isAlive(pid: number): boolean {
  try {
    return /^State:\t[^Z]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const named = (line: LogLine, kind = 'children'): number[] =>
  (line[kind] as string[]).map((name) => Number(/\(pid (\d+)\)/.exec(name)?.[1])).sort((a, b) => a - b)

async function ends(t: Test, pids: readonly number[]): Promise<void> {
  await eventually(`the end of ${pids.join(', ')}`, () => !pids.some(isAlive))
  t.notOk(pids.some(isAlive))
}

for (const place of PLACES)
  t.test(`${place}: a run that fails leaves no child process and no grandchild`, async (t) => {
    const source = `${SPAWN}
      let runs = 0
      export async function run(ctx) {
        ${tree(marked(t))}
        if (ctx.config.stay) ${UNTIL_STOP}
        throw new Error('on purpose')
      }`
    const config = {
      restart: 'always',
      backoff: { base: '1ms', max: '1ms' },
      limit: { failures: 2, within: '1h' },
    }
    const herd = await host(t, place, source, config as WorkerConfig, { ready: false })
    const pids = await pidsOf(herd)
    const line = await herd.line({ worker: SUBJECT, event: 'leftovers' })
    t.same(
      named(line),
      [...pids].sort((a, b) => a - b),
      'both are named',
    )
    await ends(t, pids)
    const second = await pidsOf(herd, herd.lines.indexOf(herd.matching({ msg: /^pids / })[0]!) + 1)
    await ends(t, second)
  })

for (const place of PLACES)
  t.test(
    `${place}: a stop of the herd waits for child processes that end late, and kills those that do not`,
    async (t) => {
      const mark = marked(t)
      const source = program(
        SPAWN,
        `const late = spawn('/bin/sh', ['-c', 'trap "sleep 0.2; exit" TERM; echo up; while :; do sleep 0.05; done # ${mark}'])
       ${says('late', 'up')}
       const deaf = spawn('/bin/sh', ['-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done # ${mark}'])
       ${says('deaf', 'up')}
       say('pids ' + JSON.stringify([late.pid, deaf.pid]))`,
      )
      const herd = await host(t, place, source, { stopTimeout: '1s' })
      const [, deaf] = await pidsOf(herd)
      await herd.line({ event: 'said-all' })
      t.ok(running(mark).length >= 2) // a shell that forks shows its command line twice
      t.same(await herd.stop(), { code: 0, signal: null })
      t.same(running(mark), [], 'nothing is left when the herd is down')
      const [killed] = herd.matching({ worker: SUBJECT, event: 'children-killed' })
      t.match(killed, { graceMs: 1000 })
      t.ok(named(killed!).includes(deaf!))
    },
  )

for (const place of PLACES)
  t.test(`${place}: a child process started with detached: true is left and named`, async (t) => {
    const mark = marked(t)
    const source = program(
      SPAWN,
      `const detached = spawn('sleep', ['1000'], { argv0: '${mark}', detached: true, stdio: 'ignore' })
       detached.unref()
       say('pids ' + JSON.stringify([detached.pid]))`,
    )
    const herd = await host(t, place, source)
    const pids = await pidsOf(herd)
    await herd.line({ event: 'said-all' })
    t.same(await herd.stop(), { code: 0, signal: null })
    const [line] = herd.matching({ worker: SUBJECT, event: 'leftovers', detached: Array.isArray })
    t.same(named(line!, 'detached'), pids)
    t.same(line?.['children'], [])
    t.ok(isAlive(pids[0]!), 'it runs on')
  })

for (const place of ['shared', 'run'] as const)
  t.test(`${place}: a listener that starts an ended helper again does not go on`, async (t) => {
    const mark = marked(t)
    const source = `${SPAWN}
      let started = 0
      function helper() {
        console.log('helper ' + ++started)
        spawn('sleep', ['1000'], { argv0: '${mark}', stdio: 'ignore' }).on('exit', helper)
      }
      export async function run(ctx) { helper(); ${UNTIL_STOP} }`
    const herd = await host(t, place, source)
    await herd.line({ worker: SUBJECT, msg: 'helper 1' })
    await herd.act(SUBJECT, 'stop')
    await herd.line({ worker: SUBJECT, msg: 'helper 2' })
    await eventually('the end of the helpers', () => running(mark).length === 0)
    t.same(herd.matching({ worker: SUBJECT, msg: 'helper 3' }), [])
    await herd.stop()
    // The kernel ends a killed process in its own time.
    await eventually('the end of all', () => running(mark).length === 0)
  })

t.test('shared: a child process that another worker uses stays until the herd stops', async (t) => {
  const mark = marked(t)
  const herd = await startHerd(t, {
    files: {
      'node_modules/service/package.json': `{ "main": "index.js" }`,
      'node_modules/service/index.js': `
const { spawn } = require('node:child_process')
const { createInterface } = require('node:readline')
let child, last = 0
const waiting = new Map()
exports.ask = (text) => new Promise((resolve) => {
  if (child === undefined) {
    child = spawn('/bin/sh', ['-c', 'cat # ${mark}'], { stdio: ['pipe', 'pipe', 'ignore'] })
    createInterface(child.stdout).on('line', (line) => waiting.get(line.split(' ')[0])(line))
  }
  waiting.set(String(++last), resolve)
  child.stdin.write(last + ' ' + text + '\\n')
})`,
    },
    workers: {
      first: `import { ask } from 'service'
        export async function run(ctx) { console.log('first: ' + await ask('of first')); ${UNTIL_STOP} }`,
      second: `import { ask } from 'service'
        export async function run(ctx) {
          console.log('second: ' + await ask('of second'))
          ctx.every('20ms', async () => console.log('again: ' + await ask('of second')))
          ${UNTIL_STOP}
        }`,
    },
    config: { workers: { first: {}, second: { after: ['first'] } } },
  })
  await herd.line({ msg: /^second: \d+ of second/ })
  const from = herd.mark()
  await herd.act('first', 'stop')
  await herd.line({ worker: 'first', event: 'transition', to: 'stopped' }, from)
  await herd.line({ msg: /^again: \d+ of second/ }, herd.mark())
  t.equal(running(mark).length, 1)
  t.same(herd.matching({ event: 'leftovers', children: /./ }), [])
  await herd.stop()
  t.same(running(mark), [])
  t.equal(herd.matching({ event: 'leftovers', children: /sh/ }).length, 1, 'it is named when the herd stops')
})

t.test(
  'shared: a child process of the entry module outlives restarts, and ends when the worker is stopped',
  async (t) => {
    const mark = marked(t)
    const herd = await startHerd(t, {
      workers: {
        [SUBJECT]: `${SPAWN}
        spawn('sleep', ['1000'], { argv0: '${mark}', stdio: 'ignore' })
        export async function run(ctx) { console.log('runs'); ${UNTIL_STOP} }`,
      },
    })
    const pids = running(mark)
    t.equal(pids.length, 1)
    const from = herd.mark()
    await herd.act(SUBJECT, 'restart')
    await herd.line({ worker: SUBJECT, msg: 'runs' }, from)
    t.same(running(mark), pids)
    await herd.act(SUBJECT, 'stop')
    t.match(await herd.line({ worker: SUBJECT, event: 'leftovers' }), { children: [/^mark-/] })
    await ends(t, pids)
    const again = herd.mark()
    await herd.act(SUBJECT, 'start')
    await herd.line({ worker: SUBJECT, msg: 'runs' }, again)
    t.equal(running(mark).length, 1, 'the next start starts it again')
    await herd.stop()
  },
)

/** A script ends by itself, or when it is stopped. */
const SCRIPTS: readonly [Placement, 'crash' | 'stop'][] = [
  ['process', 'crash'],
  ['process', 'stop'],
  ['thread', 'stop'],
]
for (const [placement, end] of SCRIPTS)
  t.test(`${placement}: child processes of a script end with it: ${end}`, async (t) => {
    const script = `${SPAWN}
      ${tree(marked(t))}
      ${end === 'crash' ? `throw new Error('on purpose')` : 'setInterval(() => {}, 1e6)'}`
    const herd = await startHerd(t, {
      files: { 'script.mjs': script },
      config: {
        workers: {
          [SUBJECT]: { script: './script.mjs', module: undefined, placement, restart: 'never' } as never,
        },
      },
    })
    const pids = await pidsOf(herd)
    if (end === 'stop') await herd.act(SUBJECT, 'stop')
    const line = await herd.line({ worker: SUBJECT, event: 'leftovers' })
    t.same(
      named(line),
      [...pids].sort((a, b) => a - b),
    )
    await ends(t, pids)
    await herd.stop()
  })

t.test('thread: an ended child process does not stay as a zombie of the supervisor', async (t) => {
  const source = `${SPAWN}
    export async function run() { ${tree(marked(t))}; throw new Error('on purpose') }`
  const herd = await host(t, 'thread', source)
  const pids = await pidsOf(herd)
  await eventually('no trace of the child', () => !readdirSync('/proc').includes(String(pids[0])))
  await herd.stop()
})
