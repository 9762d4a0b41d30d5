// What is kept for a worker that is not there, and what is said about it.
import t from 'tap'
import type { ResolvedWorker } from '../../src/config/types.ts'
import type { Logger } from '../../src/log/logger.ts'
import { Inbox, wakers } from '../../src/herd/inbox.ts'

const message = (topic: string, n = 0) => ({ topic, envelope: String(n) })

function open(bufferCapacity = 10) {
  const told: unknown[] = []
  const logOf = (worker: string): Logger =>
    ({ warn: (fields: object) => told.push({ worker, ...fields }) }) as unknown as Logger
  return { inbox: new Inbox('w', { logOf, bufferCapacity }), told }
}

t.test('a message that several taps saw is kept once, an equal one is another', async (t) => {
  const { inbox } = open()
  const first = message('a')
  inbox.keep(first)
  inbox.keep(first)
  inbox.keep(message('a'))
  t.equal(inbox.size, 2)
})

t.test('an overflow and what no subscription covered are told with their number', async (t) => {
  const { inbox, told } = open(2)
  for (let n = 0; n < 4; n++) inbox.keep(message('a', n))
  inbox.offer()
  inbox.endRun(false)
  inbox.endRun(false)
  t.same(told, [
    { worker: 'w', event: 'mailbox-overflow', dropped: 1 },
    { worker: 'w', event: 'mailbox-overflow', dropped: 2 },
    { worker: 'w', event: 'unclaimed', count: 2 },
  ])
  t.same([inbox.size, inbox.dropped, inbox.unclaimed], [0, 2, 2])
})

t.test('after a failure nothing is dropped, and nothing told', async (t) => {
  const { inbox, told } = open()
  inbox.keep(message('a'))
  inbox.offer()
  inbox.endRun(true)
  t.same([inbox.size, told], [1, []])
})

t.test('only what wakes the worker waits for its next run', async (t) => {
  const some = [message('a.b'), message('b'), message('a.c')]
  const lazy = { kind: 'lazy', topics: ['a.*'], streams: [] } as const
  t.same(wakers({ activation: lazy } as unknown as ResolvedWorker, some), [some[0], some[2]])
  t.same(wakers({ activation: { kind: 'eager' } } as unknown as ResolvedWorker, some), [])
})
