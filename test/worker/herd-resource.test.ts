// The worker's half of ctx.use for a module of its own: what it waits for ends with the run.
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { createScheduler } from '../../src/base/scheduler.ts'
import type { ContextOwner } from '../../src/worker/context.ts'
import { useHerdResource } from '../../src/worker/herd-resource.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

t.test('the deadline of a call that hangs goes with the run, not when it falls due', async (t) => {
  const scheduler = createScheduler(fakeClock())
  const ends: (() => void)[] = []
  let closed = 0
  const port = { ask: async () => new Promise<never>(() => {}), close: () => void closed++ }
  const owner = {
    name: 'w',
    host: { scheduler, herdResources: () => port },
    onEnd: (release: () => void) => void ends.push(release),
  } as unknown as ContextOwner
  const module = pathToFileURL('/srv/db.js')
  const used = [1, 2].map(async () => useHerdResource(owner, { key: 'db', module, timeout: '24h' }))
  const given = Promise.allSettled(used)
  t.equal(scheduler.size, 2)
  for (const end of ends) end()
  t.match(await given, [
    { status: 'rejected', reason: { code: 'BYRE_WORKER_STOPPED' } },
    { status: 'rejected', reason: { code: 'BYRE_WORKER_STOPPED' } },
  ])
  t.equal(scheduler.size, 0)
  t.equal(closed, 1)
})
