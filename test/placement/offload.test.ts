// ctx.offload of threads and processes: the same values, errors and aborts as in the shared loop. Threads share the
// supervisor's pool; a process has its own, so that what is done there ends nobody but its worker.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const HEAVY = `
import { createSecretKey } from 'node:crypto'
import { MessageChannel, threadId } from 'node:worker_threads'
export default async function heavy(input) {
  if (input === 'throw') throw new RangeError('too heavy')
  if (input === 'never') await new Promise(() => setInterval(() => {}, 1e6))
  if (input === 'crash') process.kill(process.pid, 'SIGSEGV')
  if (input === 'large') return 'x'.repeat(3_000_000)
  if (input === 'shared') return { key: createSecretKey(Buffer.from('secret')), memory: new SharedArrayBuffer(3) }
  if (input.big) return { size: input.big.length }
  if (input.memory) new Uint8Array(input.memory)[0] = 7
  return { pid: process.pid, thread: threadId > 0, map: new Map(input.map), bytes: new Uint8Array([1, 2, 3]) }
}`
/** One line per thing that was asked, each with a text of its own: the log folds what repeats. */
const ASKS = `
export async function run(ctx) {
  const heavy = new URL('../lib/heavy.mjs', import.meta.url)
  const { pid, thread, map, bytes } = await ctx.offload(heavy, { map: new Map([['a', 1]]) })
  ctx.log.info({ did: 'value', pid, own: process.pid, thread, a: map.get('a'), bytes: [...bytes] }, 'value')
  const thrown = await ctx.offload(heavy, 'throw').catch((error) => error)
  ctx.log.info({ did: 'throw', type: thrown.constructor.name, message: thrown.message }, 'throw')
  const signal = AbortSignal.timeout(100)
  const aborted = await ctx.offload(heavy, 'never', { signal }).catch((error) => error)
  ctx.log.info({ did: 'abort', name: aborted.name }, 'abort')
  const big = await ctx.offload(heavy, { big: 'x'.repeat(2_000_000) })
  ctx.log.info({ did: 'big', size: big.size }, 'big')
  const large = await ctx.offload(heavy, 'large')
  ctx.log.info({ did: 'large', size: large.length }, 'large')
  const { key, memory } = await ctx.offload(heavy, 'shared')
  const ours = new SharedArrayBuffer(1)
  await ctx.offload(heavy, { memory: ours })
  ctx.log.info({ did: 'shared', key: key.export().toString(), size: memory.byteLength, set: new Uint8Array(ours)[0] }, 'shared')
  const url = 'data:text/javascript,export default () => 42 //' + 'x'.repeat(2_000_000)
  const refused = await ctx.offload(url, 1).catch((error) => error)
  ctx.log.info({ did: 'url', message: String(refused.message).slice(0, 40) }, 'url')
  const typo = await ctx.offload(heavy, 'never', { signl: signal }).catch((error) => error)
  ctx.log.info({ did: 'typo', code: typo.code, message: String(typo.message) }, 'typo')
  const fn = await ctx.offload(heavy, { fn() {} }).catch((error) => error)
  ctx.log.info({ did: 'function', message: String(fn.message) }, 'function')
}`

for (const placement of ['shared', 'thread', 'process'] as const)
  t.test(`in ${placement} it takes and gives what a structured clone can, of any size`, async (t) => {
    const herd = await startHerd(t, {
      workers: { w: ASKS },
      files: { 'lib/heavy.mjs': HEAVY },
      config: { workers: { w: { placement } } },
    })
    await herd.untilWorker('w', (w) => w.state === 'stopped')
    const did = (what: string): Record<string, unknown> =>
      (herd.matching({ worker: 'w', did: what })[0] ?? {}) as Record<string, unknown>
    t.match(did('value'), { thread: true, a: 1, bytes: [1, 2, 3] })
    t.equal(did('value')['pid'], did('value')['own'], 'in the process of its worker')
    t.equal(did('value')['pid'] === herd.pid, placement !== 'process')
    t.match(did('throw'), { type: 'RangeError', message: 'too heavy' })
    t.match(did('abort'), { name: /^(TimeoutError|AbortError)$/ })
    t.match(did('big'), { size: 2_000_000 })
    t.match(did('large'), { size: 3_000_000 })
    t.match(did('shared'), { key: 'secret', size: 3, set: 7 })
    t.match(did('url'), { message: /^Cannot find module/ }, 'the pool takes files; the wire takes any name')
    t.match(did('typo'), { code: 'BYRE_ARGUMENT_INVALID', message: /signl: .*'signal'\?$/ })
    t.match(did('function'), { message: /could not be cloned/ })
    t.match(await herd.worker('w'), { failures: 0, lastExit: { verdict: 'done' } })
    t.same(await herd.stop(), { code: 0, signal: null })
  })

t.test('a module that crashes in a process ends its worker, and nobody else', async (t) => {
  const herd = await startHerd(t, {
    workers: {
      w: `export const run = (ctx) => ctx.offload(new URL('../lib/heavy.mjs', import.meta.url), 'crash')`,
      sibling: `export const run = ({ signal }) => new Promise((r) => signal.addEventListener('abort', r))`,
    },
    files: { 'lib/heavy.mjs': HEAVY },
    config: { workers: { w: { placement: 'process', restart: 'never' } } },
  })
  const { lastExit } = await herd.untilWorker('w', (w) => w.lastExit !== undefined)
  t.match(lastExit, { verdict: 'killed', reason: 'its process was killed by SIGSEGV' })
  t.match(await herd.worker('sibling'), { state: 'running', restarts: 0 })
  t.same(await herd.stop(), { code: 0, signal: null })
})

const DETACHED = `
export async function run(ctx) {
  const sub = ctx.bus.subscribe('wake.>')
  void (async () => { for await (const message of sub) ctx.log.info({ took: message.topic }, 'took') })()
  const work = ctx.offload(new URL('../lib/slow.mjs', import.meta.url), 1)
  ctx.log.info({ done: await work }, 'done')
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
}`

for (const placement of ['thread', 'process'] as const)
  t.test(`in ${placement} a worker whose offloaded work is not done is not put to sleep`, async (t) => {
    const herd = await startHerd(t, {
      workers: { w: DETACHED },
      files: {
        'lib/slow.mjs': `export default () => new Promise((resolve) => setTimeout(() => resolve('slow'), 3000))`,
      },
      config: { workers: { w: { placement, activation: { topics: ['wake.>'] }, sleepAfter: '1s' } } },
    })
    await herd.act('w', 'wake')
    await herd.line({ done: 'slow' })
    await herd.untilWorker('w', (w) => w.state === 'dormant')
    t.same(await herd.stop(), { code: 0, signal: null })
  })
