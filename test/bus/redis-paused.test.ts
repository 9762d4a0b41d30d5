// A server that is stopped (SIGSTOP) for ten seconds of real time: the effects are bounded, reported, and end with it.
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { ByreError } from '../../src/base/errors.ts'
import { leakGuard } from '../helpers/leak-guard.ts'
import { noRedis, startRedis } from '../helpers/redis.ts'
import { listen, payloads } from './contract/harness.ts'
import { openBus, read } from './streams-harness.ts'

if (noRedis !== false) t.plan(0, noRedis)
else {
  leakGuard(t)

  t.test('ten seconds: publishing settles, jobs and acks survive, and it works again', async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    const { bus, event } = await openBus(t, server)
    const { take, sub } = await listen(bus, 'x.*')
    const reader = read(bus, 'jobs')
    await bus.enqueue('jobs', 'in hand')
    const [job] = await reader.take(1)
    server.signal('SIGSTOP')
    const stoppedAt = performance.now()
    const published = bus.publish('x.during', 1).then(
      () => 'sent',
      (error: ByreError) => error.code,
    )
    const acked = job!.ack()
    const added = bus.enqueue('jobs', 'during', { dedupeId: 'd' }).then(
      () => 'added',
      (error: ByreError) => error.code,
    )
    await event('bus-down')
    await delay(Math.max(0, 10_000 - (performance.now() - stoppedAt)))
    server.signal('SIGCONT')
    t.ok(['sent', 'BYRE_BUS_UNAVAILABLE'].includes(await published))
    t.ok(['added', 'BYRE_BUS_UNAVAILABLE'].includes(await added))
    await acked
    await event('bus-gap')
    await bus.publish('x.after', 'after')
    for (;;) if (payloads(await take(1))[0] === 'after') break
    sub.close()
    await bus.enqueue('jobs', 'during', { dedupeId: 'd' })
    t.equal((await reader.done()).payload, 'during')
    t.match(bus.health, { up: true, gaps: 1 })
  })
}
