// What a child process prints to an inherited stdout or stderr becomes lines of its worker, where the process has several
// workers too. The program sees what plain Node shows it.
import t from 'tap'
import { eventually } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { host, plainTranscript, program, SUBJECT, transcript } from './places.ts'
import { marked, running } from './processes.ts'

leakGuard(t)

/** Under `byre run` the worker has the streams of the process to itself, and so have its children. */
const TAGGED = ['shared', 'thread', 'process'] as const
const IMPORTS = `import { fork, spawn } from 'node:child_process'`

/** `stdio` of a child. */
const WAYS: readonly string[] = [
  `'inherit'`,
  `['inherit', 'inherit', 'inherit']`,
  `['ignore', 'inherit', 'inherit']`,
  `['pipe', 1, 2]`,
  `[0, 1, 2, 'ignore']`,
  `[undefined, 'inherit', 'inherit', 'pipe']`,
]

t.test('the output is of the worker, and child.stdio and the events are as in plain Node', async (t) => {
  const source = program(
    IMPORTS,
    `
    const all = []
    const ways = [${WAYS.join(', ')}]
    for (const [i, stdio] of ways.entries()) {
      const child = spawn('/bin/sh', ['-c', 'cat; echo out ' + i + '; echo err ' + i + ' >&2; exit 3'], { stdio })
      child.stdin?.end()
      const seen = [child.stdin, child.stdout, child.stderr, ...child.stdio].map((s) => s && s.constructor.name)
      await new Promise((resolve) => {
        for (const event of ['spawn', 'exit', 'close'])
          child.on(event, (...args) => { seen.push(event, ...args); if (event === 'close') resolve() })
      })
      all.push(seen)
    }
    say(JSON.stringify(all))`,
  )
  const expected = await plainTranscript(t, source)
  for (const place of TAGGED)
    await t.test(place, async (t) => {
      const herd = await host(t, place, source)
      t.same(await transcript(herd), expected)
      for (const i of WAYS.keys()) {
        t.ok(await herd.line({ worker: SUBJECT, stream: 'stdout', msg: `out ${i}` }))
        t.ok(await herd.line({ worker: SUBJECT, stream: 'stderr', msg: `err ${i}` }))
      }
      t.same(await herd.stop(), { code: 0, signal: null })
      t.same(herd.matching({ raw: /./ }), [], 'nothing is printed past the log')
    })
})

t.test('/dev/stdout and /dev/stderr can be opened, and a forked program finds pipes', async (t) => {
  const source = program(
    IMPORTS,
    `
    const shell = spawn('/bin/sh', ['-c', 'echo by path > /dev/stdout; echo to err by path > /dev/stderr'], { stdio: 'inherit' })
    say('ended with ' + await new Promise((resolve) => shell.on('exit', resolve)))
    const child = fork(ctx.config.child)
    say('sent ' + await new Promise((resolve) => child.on('message', resolve)))`,
  )
  const files = {
    'child.cjs': `console.log('of the fork'); process.send('a message', () => process.disconnect())`,
  }
  for (const place of TAGGED)
    await t.test(place, async (t) => {
      const herd = await host(t, place, source, { config: { child: './child.cjs' } }, { files })
      t.same(await transcript(herd), ['ended with 0', 'sent a message'])
      t.ok(await herd.line({ worker: SUBJECT, stream: 'stdout', msg: 'by path' }))
      t.ok(await herd.line({ worker: SUBJECT, stream: 'stderr', msg: 'to err by path' }))
      t.ok(await herd.line({ worker: SUBJECT, stream: 'stdout', msg: 'of the fork' }))
      await herd.stop()
    })
})

t.test('what a child prints while it is ended is of the worker', async (t) => {
  const source = program(
    IMPORTS,
    `spawn('/bin/sh', ['-c', 'trap "sleep 0.1; echo bye; exit" TERM; echo up; while :; do sleep 0.05; done'], { stdio: 'inherit' })`,
  )
  for (const place of TAGGED)
    await t.test(place, async (t) => {
      const herd = await host(t, place, source)
      await herd.line({ worker: SUBJECT, stream: 'stdout', msg: 'up' })
      await herd.act(SUBJECT, 'stop')
      t.ok(await herd.line({ worker: SUBJECT, stream: 'stdout', msg: 'bye' }))
      t.same(herd.matching({ event: 'children-killed' }), [])
      await herd.stop()
    })
})

t.test('the rate of lines is bounded, and the child does not wait for it', async (t) => {
  const source = program(
    IMPORTS,
    `const child = spawn('/bin/sh', ['-c', 'seq 20000'], { stdio: 'inherit' })
     say('ended with ' + await new Promise((resolve) => child.on('exit', resolve)))`,
  )
  for (const place of TAGGED)
    await t.test(place, async (t) => {
      const herd = await host(t, place, source)
      t.same(await transcript(herd), ['ended with 0'])
      t.ok(await herd.line({ worker: SUBJECT, event: 'output-held-back' }))
      t.ok(herd.matching({ worker: SUBJECT, stream: 'stdout' }).length < 1000)
      await herd.stop()
    })
})

t.test('a detached child inherits the streams of the process, and outlives it', async (t) => {
  for (const place of ['shared', 'thread'] as const)
    await t.test(place, async (t) => {
      const mark = marked(t)
      const source = program(
        IMPORTS,
        `spawn('/bin/sh', ['-c', 'echo detached; while :; do sleep 0.05; done # ${mark}'], { stdio: 'inherit', detached: true }).unref()`,
      )
      const herd = await host(t, place, source)
      await herd.line({ raw: 'detached' })
      const [pid] = running(mark)
      herd.signal('SIGTERM')
      t.same(await herd.exit(), { code: 0, signal: null })
      t.same(running(mark), [pid])
      process.kill(pid!, 'SIGKILL') // it has the pipe of this test
      await eventually('its end', () => running(mark).length === 0)
    })
})
