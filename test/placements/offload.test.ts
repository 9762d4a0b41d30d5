// ctx.offload of threads and processes: the herd's one pool does the work, with the same values, errors and aborts as in
// the shared loop.
import t from 'tap'
import { startHerd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const HEAVY = `
import { threadId } from 'node:worker_threads'
export default async function heavy(input) {
  if (input === 'throw') throw new RangeError('too heavy')
  if (input === 'never') await new Promise(() => setInterval(() => {}, 1e6))
  if (input.big) return { pid: process.pid, size: input.big.length }
  return { pid: process.pid, thread: threadId > 0, map: new Map(input.map), bytes: new Uint8Array([1, 2, 3]) }
}`
/** One line per thing that was asked. */
const ASKS = `
export async function run(ctx) {
  const heavy = new URL('../lib/heavy.mjs', import.meta.url)
  const { pid, thread, map, bytes } = await ctx.offload(heavy, { map: new Map([['a', 1]]) })
  ctx.log.info({ did: 'value', pid, thread, a: map.get('a'), bytes: [...bytes] }, 'did')
  const thrown = await ctx.offload(heavy, 'throw').catch((error) => error)
  ctx.log.info({ did: 'throw', type: thrown.constructor.name, message: thrown.message }, 'did')
  const signal = AbortSignal.timeout(100)
  const aborted = await ctx.offload(heavy, 'never', { signal }).catch((error) => error)
  ctx.log.info({ did: 'abort', name: aborted.name }, 'did')
  const big = await ctx.offload(heavy, { big: 'x'.repeat(2_000_000) })
  ctx.log.info({ did: 'big', size: big.size, here: big.pid === process.pid }, 'did')
  const fn = await ctx.offload(heavy, { fn() {} }).catch((error) => error)
  ctx.log.info({ did: 'function', message: String(fn.message) }, 'did')
}`

for (const placement of ['shared', 'thread', 'process'] as const)
  t.test(`in ${placement} the supervisor's threads do it`, async (t) => {
    const herd = await startHerd(t, {
      workers: { w: ASKS },
      files: { 'lib/heavy.mjs': HEAVY },
      config: { workers: { w: { placement } } },
    })
    await herd.untilWorker('w', (w) => w.state === 'stopped')
    const did = (what: string): object => herd.matching({ worker: 'w', did: what })[0] ?? {}
    t.match(did('value'), { pid: herd.pid, thread: true, a: 1, bytes: [1, 2, 3] })
    t.match(did('throw'), { type: 'RangeError', message: 'too heavy' })
    t.match(did('abort'), { name: /^(TimeoutError|AbortError)$/ })
    t.match(
      did('big'),
      { size: 2_000_000, here: true },
      'what does not fit the wire stays in its own process',
    )
    t.match(did('function'), { message: /could not be cloned/ })
    t.match(await herd.worker('w'), { failures: 0, lastExit: { verdict: 'done' } })
    t.same(await herd.stop(), { code: 0, signal: null })
  })
