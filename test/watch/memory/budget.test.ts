// During a long shortage the watch continues, but its log lines do not. The clock is fake; collections are real.
import t from 'tap'
import { createScheduler } from '../../../src/base/scheduler.ts'
import type { Logger } from '../../../src/log/logger.ts'
import type { MemoryWatchDeps } from '../../../src/watch/memory/largest.ts'
import { watchMemory } from '../../../src/watch/memory/watch.ts'
import { fakeClock } from '../../helpers/fake-clock.ts'
import { leakGuard } from '../../helpers/leak-guard.ts'

leakGuard(t)

const HOUR_MS = 3_600_000

t.test('each kind logs three lines an hour, and the next line counts the suppressed ones', async (t) => {
  const clock = fakeClock()
  const lines: { event: string; step?: string; leftOut?: number; atMs: number }[] = []
  const note = (facts: { event: string }) => void lines.push({ ...facts, atMs: clock.now() })
  const root = { info: note, warn: note, error: note, debug: () => (collecting = false) } as unknown as Logger
  let rounds = 0
  let collecting = false
  // Usage cannot fall below 1 byte, so rounds follow each other at growing intervals.
  const runner = {
    name: 'w',
    spec: { group: 'g' },
    state: { kind: 'running' },
    instance: {
      relieve: (what: string) => {
        if (what !== 'collect') return
        rounds++
        collecting = true
      },
    },
  }
  const deps = {
    log: root,
    clock,
    workers: { runners: () => [runner], get: () => undefined },
    scheduler: createScheduler(clock),
    herd: () => ({ groups: { g: { memoryHighBytes: 1 } } }),
    profileSource: () => {
      throw new Error('no profiler here')
    },
  } as unknown as MemoryWatchDeps
  const watch = watchMemory(deps)
  while (clock.now() < 1.1 * HOUR_MS) {
    clock.advance(5000)
    // A collection takes real time, during which the clock does not advance.
    do await new Promise((resolve) => setImmediate(resolve))
    while (collecting)
  }
  watch?.close()
  t.ok(rounds > 5, `${rounds} rounds`)
  for (const kind of [
    'memory-relief collect',
    'memory-relief largest',
    'memory-sleepers ',
    'memory-largest ',
  ]) {
    const at = lines.filter(({ event, step = '' }) => `${event} ${step}` === kind)
    t.ok(at.length >= 4, `${kind}: ${at.length} lines`)
    for (const { atMs } of at)
      t.ok(at.filter((other) => other.atMs >= atMs && other.atMs < atMs + HOUR_MS).length <= 3, kind)
    const leftOut = at.reduce((sum, { leftOut: left = 0 }) => sum + left, 0)
    t.ok(rounds - at.length - leftOut <= 3, 'suppressed lines are counted')
    t.ok(leftOut > 0)
  }
})
