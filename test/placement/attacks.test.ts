// A worker in a thread or process that floods, lies and hoards: the supervisor's memory stays bounded, its siblings go on,
// and a verdict or a line of the log says what happened.
import t from 'tap'
import { readSmapsRollup } from '../../src/procfs/smaps-rollup.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd, Match } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import type { WorkerConfig } from '../../src/config/types.ts'

leakGuard(t)
t.jobs = 2

/** Ticks every 20 ms and keeps the longest time between two. */
const SIBLING = `
let last = performance.now(), worst = 0
export async function run(ctx) {
  setInterval(() => { const now = performance.now(); worst = Math.max(worst, now - last); last = now }, 20)
  for await (const _ of ctx.bus.subscribe('tell')) {
    ctx.log.info({ event: 'ticks', worst }, String(worst).replace(/\\d/g, (digit) => 'abcdefghij'[digit]))
    worst = 0
  }
}`
const ASKER = `export const run = (ctx) => ctx.bus.publish('tell', null)`

/** Each does one thing when it starts. */
const attacker = (code: string): string => `
import { once } from 'node:events'
import { writeSync } from 'node:fs'
/** To the wire of a process, past byre; a thread's port is out of reach. */
function raw(text) {
  for (let rest = Buffer.from(text); rest.length > 0; )
    try { rest = rest.subarray(writeSync(3, rest)) } catch (error) { if (error.code !== 'EAGAIN') throw error }
}
async function pour(stream, chunk, bytes) {
  for (let sent = 0; sent < bytes; sent += chunk.length) if (!stream.write(chunk)) await once(stream, 'drain')
}
const forever = new Promise(() => {})
export async function run(ctx) { ${code} }`

const MB = 1_000_000
/** Most an attack from a process may add to the anonymous memory of the supervisor. Of 400 MB that pass through it V8 lets
 *  some be garbage before it collects: 69 to 84 MB on Node 24 (n = 4), 61 to 70 on 26 (n = 5), less than 64 on the others. */
const ADDS_MB = Number(process.versions.node.split('.')[0]) >= 24 ? 128 : 64
const NO_LINE = `Buffer.alloc(${MB}, 120)`
const LINES = `Buffer.from('y\\n'.repeat(${MB / 2}))`

interface Attack {
  readonly law: string
  readonly code: string
  readonly in: readonly ('thread' | 'process')[]
  readonly config?: Partial<WorkerConfig>
  /** Of its last exit. */
  readonly exit?: object
  readonly line?: Match
}

const BOTH = ['thread', 'process'] as const
const broken = (why: RegExp): Pick<Attack, 'exit' | 'line'> => ({
  line: { event: 'wire-broken', msg: why },
  exit: { verdict: 'failed', reason: /wire/ },
})

const ATTACKS: readonly Attack[] = [
  {
    law: 'a message of 64 MB is refused where it is made',
    in: BOTH,
    code: `await ctx.bus.publish('x', 'z'.repeat(${64 * MB}))`,
    exit: { verdict: 'failed', reason: /64000002 / },
  },
  {
    law: 'a log line of 64 MB is cut where it is made',
    in: BOTH,
    code: `ctx.log.info({ big: 'z'.repeat(${64 * MB}) }, 'big'); await forever`,
    line: { event: 'log-line-cut', length: (n: number) => n > 6e7 },
  },
  {
    law: 'an error with a message of 64 MB is cut where it is made',
    in: BOTH,
    code: `throw new Error('z'.repeat(${64 * MB}), { cause: new Error('y'.repeat(${64 * MB})) })`,
    exit: { verdict: 'failed', reason: /^run\(\) rejected: Error: zzz/ },
  },
  {
    law: 'output without a newline is one line, cut',
    in: ['process'],
    code: `await pour(process.stdout, ${NO_LINE}, 4e8); process.stdout.write('\\n'); await forever`,
    line: { stream: 'stdout', cutBytes: (n: number) => n > 39e7 },
  },
  {
    law: 'output without a newline is one line, cut, of a thread too',
    in: ['thread'],
    code: `await pour(process.stdout, ${NO_LINE}, 2e8); process.stdout.write('\\n'); await forever`,
    line: { stream: 'stdout', cutBytes: (n: number) => n > 19e7 },
  },
  {
    law: 'a flood of lines is counted',
    in: BOTH,
    code: `await pour(process.stdout, ${LINES}, 3e7); process.stderr.write('poured\\n'); await forever`,
    line: { event: 'output-held-back', heldBack: (n: number) => n > 1000 },
  },
  {
    law: 'text that is no JSON breaks the wire',
    in: ['process'],
    code: `raw('hello\\n'); await forever`,
    ...broken(/JSON/),
  },
  {
    law: 'an endless line breaks the wire',
    in: ['process'],
    code: `for (;;) raw('z'.repeat(${MB}))`,
    ...broken(/longer than|characters/),
  },
  {
    law: 'values of another kind break the wire',
    in: ['process'],
    code: `raw('["log",null]\\n'); await forever`,
    ...broken(/a line 'log' has invalid values/),
  },
  {
    law: 'a last word of another kind breaks the wire',
    in: ['process'],
    code: `raw('["ended",{}]\\n'); await forever`,
    ...broken(/a line 'ended' has invalid values/),
  },
  {
    law: 'who says that byre failed ends itself',
    in: ['process'],
    code: `raw('["fault",{"name":"Error","message":"a lie","stack":""}]\\n'); await forever`,
    line: { event: 'internal-error', msg: /./ },
    exit: { verdict: 'failed', reason: /a lie/ },
  },
  {
    law: 'who says what nobody understands is heard of',
    in: ['process'],
    code: `raw('["what"]\\n'); await forever`,
    line: { event: 'wire-unknown' },
  },
  {
    law: 'a heap that fills slowly ends its thread or process',
    in: BOTH,
    code: `const hoard = []; for (;;) { hoard.push(new Array(20_000).fill(Math.random())); await new Promise((r) => setTimeout(r, 2)) }`,
    config: { memoryMax: '48MiB' },
    exit: { verdict: 'oom-heap', reason: /limit 48 MiB/ },
  },
]

function anonMb(herd: Herd): number {
  const read = readSmapsRollup(herd.pid)
  return read.ok ? read.value.anonBytes / MB : 0
}

/** Highest of what it reads until `over`. */
async function highest(herd: Herd, over: Promise<unknown>): Promise<number> {
  let most = 0
  const timer = setInterval(() => (most = Math.max(most, anonMb(herd))), 20)
  try {
    await over
  } finally {
    clearInterval(timer)
  }
  return most
}

for (const placement of BOTH)
  t.test(`from a ${placement}`, async (t) => {
    const attacks = ATTACKS.filter((attack) => attack.in.includes(placement))
    const names = attacks.map((_, i) => `a${i}`)
    const herd = await startHerd(t, {
      workers: {
        sibling: SIBLING,
        asker: ASKER,
        ...Object.fromEntries(attacks.map(({ code }, i) => [names[i], attacker(code)])),
      },
      config: {
        sampler: { enabled: false },
        workers: {
          asker: { activation: { topics: ['never'] } },
          ...Object.fromEntries(
            attacks.map(({ config }, i) => [
              names[i],
              {
                placement,
                restart: 'never',
                stopTimeout: '1s',
                activation: { topics: ['never'] },
                ...config,
              },
            ]),
          ),
        },
      },
    })
    const said: string[] = []
    for (const [i, { law, exit, line }] of attacks.entries())
      await t.test(law, async (t) => {
        const worker = names[i] as string
        const from = herd.mark()
        const before = anonMb(herd)
        const most = await highest(
          herd,
          (async () => {
            await herd.act(worker, 'wake')
            if (line !== undefined) await herd.line({ worker, ...line }, from)
            if (exit !== undefined) {
              const { lastExit } = await herd.untilWorker(worker, (w) => w.lastExit !== undefined)
              t.match(lastExit, exit)
            }
            await herd.act(worker, 'stop')
            await herd.untilWorker(worker, (w) => w.state === 'stopped')
          })(),
        )
        const asked = herd.mark()
        await herd.act('asker', 'wake')
        const { worst } = (await herd.line({ event: 'ticks' }, asked)) as unknown as { worst: number }
        const added = most - before
        said.push(`${law}: ${added.toFixed(0)} MB, longest tick ${worst.toFixed(0)} ms`)
        // what a thread makes is in there as well
        if (placement === 'process') t.ok(added < ADDS_MB, `added ${added.toFixed(1)} MB to its supervisor`)
        t.ok(worst < 2000, `its sibling ticked at least every ${worst.toFixed(0)} ms`)
      })
    t.match(await herd.worker('sibling'), { state: 'running', restarts: 0 })
    t.same(await herd.stop(), { code: 0, signal: null })
    t.comment(said.join('\n'))
  })
