// A durable stream as a guest reads it: what it asks of the host, and what it leaves on the signals that end it.
import { getEventListeners } from 'node:events'
import t from 'tap'
import type { Json } from '../../src/base/json.ts'
import { childStream } from '../../src/placement/child/stream.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

type Answer = Json | Error | Promise<Json>

/** A host that answers one pull after the other. */
function host(...answers: Answer[]) {
  const asked: string[] = []
  const ask = async (method: string): Promise<Json> => {
    asked.push(method)
    const answer = method === 'stream-next' ? (answers.shift() ?? null) : null
    if (answer instanceof Error) throw answer
    return answer
  }
  return { asked, ask }
}

const JOB = { id: '1-0', payload: 'work', deliveries: 1 }
const never = new Promise<Json>(() => {})
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length
const open = (calls: ReturnType<typeof host>, signal: AbortSignal | undefined, ending: AbortSignal) =>
  childStream(calls, 1, 'orders', signal === undefined ? {} : { signal }, ending)[Symbol.asyncIterator]()

t.test('twenty streams are one listener of each signal, and none once they have ended', async (t) => {
  const [mine, ending] = [new AbortController().signal, new AbortController().signal]
  const streams = Array.from({ length: 20 }, () => open(host(JOB), mine, ending))
  t.equal(listeners(mine), 0, 'not before the first pull')
  for (const stream of streams) t.match(await stream.next(), { value: { id: '1-0' }, done: false })
  t.same([listeners(mine), listeners(ending)], [1, 1])
  for (const stream of streams) t.match(await stream.next(), { done: true })
  t.same([listeners(mine), listeners(ending)], [0, 0])
})

t.test('either signal closes the stream with the host, once', async (t) => {
  for (const which of ['mine', 'ending'] as const) {
    const ends = { mine: new AbortController(), ending: new AbortController() }
    const calls = host(JOB)
    const stream = open(calls, ends.mine.signal, ends.ending.signal)
    await stream.next()
    ends[which].abort()
    ends.mine.abort()
    await stream.return!()
    t.match(await stream.next(), { done: true })
    t.same(calls.asked, ['stream-next', 'stream-close'], which)
    t.same([listeners(ends.mine.signal), listeners(ends.ending.signal)], [0, 0])
  }
})

t.test('a signal that has aborted is asked for nothing', async (t) => {
  const calls = host(JOB)
  const stream = open(calls, AbortSignal.abort(), new AbortController().signal)
  t.match(await stream.next(), { done: true })
  t.same(calls.asked, [])
})

t.test('nothing is pulled after the abort, whoever hears of it first', async (t) => {
  const mine = new AbortController()
  mine.signal.addEventListener('abort', (event) => event.stopImmediatePropagation())
  const calls = host(JOB, never)
  const stream = open(calls, mine.signal, new AbortController().signal)
  await stream.next()
  mine.abort()
  t.match(await stream.next(), { done: true })
  t.same(calls.asked, ['stream-next', 'stream-close'])
})

t.test('a pull that fails ends the stream and leaves nothing behind', async (t) => {
  const ending = new AbortController()
  for (let i = 0; i < 20; i++) {
    const calls = host(JOB, new Error('too many'))
    await t.rejects(
      (async () => {
        for await (const job of childStream(calls, 1, 'orders', {}, ending.signal)) t.equal(job.id, '1-0')
      })(),
      { message: 'too many' },
    )
    t.same(calls.asked, ['stream-next', 'stream-next', 'stream-close'])
    t.equal(listeners(ending.signal), 0)
  }
})
