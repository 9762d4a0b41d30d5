// What a worker does to stdin, stdout and stderr affects only its own streams: other workers and byre keep running.
import t from 'tap'
import { leakGuard } from '../helpers/leak-guard.ts'
import { host, PLACES, program, SIBLING, siblingRuns, SUBJECT, transcript, UNTOUCHED } from './places.ts'

leakGuard(t)

interface Act {
  readonly law: string
  readonly act: string
  readonly stdin?: 'ignore' | 'pipe'
  /** What it makes the worker print. */
  readonly prints?: object
}

const ACTS: readonly Act[] = [
  { law: 'process.stdout.end()', act: `process.stdout.end()` },
  {
    law: 'process.stdout.end(text), which prints the text',
    act: `process.stdout.end('the last line\\n')`,
    prints: { msg: 'the last line', stream: 'stdout' },
  },
  { law: 'process.stdout.destroy()', act: `process.stdout.destroy()` },
  { law: 'process.stderr.end()', act: `process.stderr.end()` },
  { law: 'process.stderr.destroy()', act: `process.stderr.destroy()` },
  {
    law: 'process.stdout.end(callback), which calls the callback',
    act: `await new Promise((ended) => process.stdout.end(ended))`,
  },
  {
    law: 'a pipeline into stdout, which ends it',
    act: `await pipeline(Readable.from(['piped\\n']), process.stdout)`,
    prints: { msg: 'piped', stream: 'stdout' },
  },
  {
    law: 'a stream piped into stdout, which Node then does not end',
    act: `Readable.from(['piped\\n']).pipe(process.stdout); await wait(20); console.log('printed after')`,
    prints: { msg: 'printed after', stream: 'stdout' },
  },
  {
    law: 'a readline interface on stdin that is closed, and process.stdin.destroy()',
    act: `
  const lines = createInterface({ input: process.stdin, output: process.stdout })
  lines.prompt()
  lines.close()
  process.stdin.destroy()`,
    stdin: 'pipe',
  },
  {
    law: 'process.stdin.destroy() of an empty stdin, after reading it to its end',
    act: `for await (const _ of process.stdin) {}; process.stdin.destroy()`,
  },
]

const IMPORTS = `import { createInterface } from 'node:readline'\nimport { Readable } from 'node:stream'\nimport { pipeline } from 'node:stream/promises'`

/** Workers in a thread or process write to separate pipes, whatever byre's stdout is. */
const STDOUTS = { socket: PLACES, pipe: ['shared', 'run'] } as const

for (const stdout of ['socket', 'pipe'] as const)
  for (const place of STDOUTS[stdout])
    void t.test(
      `stdout is a ${stdout}, placement ${place}: byre and other workers keep running after`,
      async (t) => {
        for (const { law, act, stdin, prints } of ACTS)
          await t.test(law, async (t) => {
            // A stream may end with a delay: other workers and byre are checked after some turns of the loop.
            const source = program(
              IMPORTS,
              `console.log('before'); await wait(20); ${act}; await wait(50); say('still here')`,
            )
            const herd = await host(t, place, source, {}, { stdout, ...(stdin && { stdin }) })
            t.same(await transcript(herd), ['still here'])
            await herd.line({ worker: SUBJECT, msg: 'before', stream: 'stdout' })
            if (prints !== undefined) await herd.line({ worker: SUBJECT, ...prints })
            if (place !== 'run') {
              t.same(await siblingRuns(herd), UNTOUCHED)
              t.match(await herd.worker(SUBJECT), UNTOUCHED)
            }
            t.same(await herd.stop(), { code: 0, signal: null })
            t.equal(herd.matching({ event: 'stopped' }).length, 1, `byre's last line was written`)
          })
      },
    )

for (const place of ['shared', 'thread', 'process'] as const)
  void t.test(
    `placement ${place}: the next run of a worker that ended its stdout prints again`,
    async (t) => {
      const source = program('', `console.log('printed'); await wait(20); process.stdout.end(); say('ended')`)
      const herd = await host(t, place, source)
      await transcript(herd)
      const from = herd.mark()
      t.equal((await herd.act(SUBJECT, 'restart')).status, 202)
      t.ok(await herd.line({ worker: SUBJECT, msg: 'printed', stream: 'stdout' }, from))
      t.match(await herd.worker(SIBLING), UNTOUCHED)
    },
  )
