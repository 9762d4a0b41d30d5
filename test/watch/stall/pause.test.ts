// A pause of the loop leaves neither a timer nor a session behind in the thread that requested it.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { leakGuard } from '../../helpers/leak-guard.ts'

leakGuard(t)

/** A timer of 10 s that is left armed makes the thread live longer than this. */
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

t.test('a pause that is cancelled while it samples ends with its session', async (t) => {
  const { code, livedMs } = await lifeOf({ sampled: true, take: false })
  t.equal(code, 0)
  t.ok(livedMs < LIVES_MAX_MS, `the thread lived ${Math.round(livedMs)} ms`)
})

t.test('a profile can be read before and after the pause is cancelled', async (t) => {
  t.match(await lifeOf({ sampled: true, take: true }), { code: 0, said: ['profile', 'profile'] })
})

t.test('a pause that is not sampled has no profile', async (t) => {
  t.match(await lifeOf({ sampled: false, take: true }), { code: 0, said: ['no profile', 'no profile'] })
})
