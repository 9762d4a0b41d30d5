// A durable stream read by a child: its calls to the supervisor, and its listeners on the signals that end it.
import { getEventListeners } from 'node:events'
import t from 'tap'
import type { Json } from '../../src/base/json.ts'
import { childStream } from '../../src/placement/child/calls.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

type Answer = Json | Error | Promise<Json>

/** A supervisor that answers one pull after the other. */
function supervisor(...answers: Answer[]) {
  const sent: string[] = []
  const ask = async (method: string): Promise<Json> => {
    sent.push(method)
    const answer = method === 'stream-next' ? (answers.shift() ?? null) : null
    if (answer instanceof Error) throw answer
    return answer
  }
  return { sent, ask }
}

const JOB = { id: '1-0', payload: 'work', deliveries: 1 }
const never = new Promise<Json>(() => {})
const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length
const open = (calls: ReturnType<typeof supervisor>, signal: AbortSignal | undefined, ending: AbortSignal) =>
  childStream(calls, 1, 'orders', signal === undefined ? {} : { signal }, ending)[Symbol.asyncIterator]()

t.test('twenty streams share one listener per signal, which is removed once they have ended', async (t) => {
  const [mine, ending] = [new AbortController().signal, new AbortController().signal]
  const streams = Array.from({ length: 20 }, () => open(supervisor(JOB), mine, ending))
  t.equal(listeners(mine), 0, 'none before the first pull')
  for (const stream of streams) t.match(await stream.next(), { value: { id: '1-0' }, done: false })
  t.same([listeners(mine), listeners(ending)], [1, 1])
  for (const stream of streams) t.match(await stream.next(), { done: true })
  t.same([listeners(mine), listeners(ending)], [0, 0])
})

t.test('either signal closes the stream at the supervisor, once', async (t) => {
  for (const which of ['mine', 'ending'] as const) {
    const ends = { mine: new AbortController(), ending: new AbortController() }
    const calls = supervisor(JOB)
    const stream = open(calls, ends.mine.signal, ends.ending.signal)
    await stream.next()
    ends[which].abort()
    ends.mine.abort()
    await stream.return!()
    t.match(await stream.next(), { done: true })
    t.same(calls.sent, ['stream-next', 'stream-close'], which)
    t.same([listeners(ends.mine.signal), listeners(ends.ending.signal)], [0, 0])
  }
})

t.test('with an aborted signal nothing is requested', async (t) => {
  const calls = supervisor(JOB)
  const stream = open(calls, AbortSignal.abort(), new AbortController().signal)
  t.match(await stream.next(), { done: true })
  t.same(calls.sent, [])
})

t.test('nothing is pulled after the abort, even if another listener stops the event', async (t) => {
  const mine = new AbortController()
  mine.signal.addEventListener('abort', (event) => event.stopImmediatePropagation())
  const calls = supervisor(JOB, never)
  const stream = open(calls, mine.signal, new AbortController().signal)
  await stream.next()
  mine.abort()
  t.match(await stream.next(), { done: true })
  t.same(calls.sent, ['stream-next', 'stream-close'])
})

t.test('a pull that fails ends the stream and leaves no listener', async (t) => {
  const ending = new AbortController()
  for (let i = 0; i < 20; i++) {
    const calls = supervisor(JOB, new Error('too many'))
    await t.rejects(
      (async () => {
        for await (const job of childStream(calls, 1, 'orders', {}, ending.signal)) t.equal(job.id, '1-0')
      })(),
      { message: 'too many' },
    )
    t.same(calls.sent, ['stream-next', 'stream-next', 'stream-close'])
    t.equal(listeners(ending.signal), 0)
  }
})
