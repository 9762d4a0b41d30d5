// The pause of the loop leaves nothing behind in the thread that asked for it: neither a timer nor a session.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { leakGuard } from '../../helpers/leak-guard.ts'

leakGuard(t)

/** Holds what is not the thread's to end: a timer of 10 s that is left armed shows in how long it lives. */
const LIVES_MAX_MS = 8000

async function lifeOf(workerData: object): Promise<{ code: unknown; said: unknown[]; livedMs: number }> {
  const startedAt = performance.now()
  const thread = new Worker(new URL('pause-thread.js', import.meta.url), { workerData })
  const said: unknown[] = []
  thread.on('message', (message) => said.push(message))
  const busy = setInterval(() => {}, 5) // a loop that runs nothing is not paused
  try {
    const [code] = (await once(thread, 'exit')) as [unknown]
    return { code, said, livedMs: performance.now() - startedAt }
  } finally {
    clearInterval(busy)
  }
}

t.test('a pause that is taken back while it samples ends with its session', async (t) => {
  const { code, livedMs } = await lifeOf({ sampled: true, take: false })
  t.equal(code, 0)
  t.ok(livedMs < LIVES_MAX_MS, `the thread lived ${Math.round(livedMs)} ms`)
})

t.test('a profile that is asked for is given, and again after it was taken back', async (t) => {
  t.match(await lifeOf({ sampled: true, take: true }), { code: 0, said: ['profile', 'profile'] })
})

t.test('a pause that is not sampled has no profile', async (t) => {
  t.match(await lifeOf({ sampled: false, take: true }), { code: 0, said: ['no profile', 'no profile'] })
})
