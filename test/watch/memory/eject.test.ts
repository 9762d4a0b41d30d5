// The worker that grew most is moved out only while the watch is open, and never while it stops: the move would start it
// again, and a shutdown would wait for it forever.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { ResolvedWorker } from '../../../src/config/types.ts'
import type { Logger } from '../../../src/log/logger.ts'
import { EJECT_MIN_BYTES, reportLargest } from '../../../src/watch/memory/largest.ts'
import type { MemoryWatchDeps } from '../../../src/watch/memory/largest.ts'
import { Assignments } from '../../../src/herd/assignments.ts'

const spec = { name: 'large', placement: 'thread', onLimit: 'eject' } as ResolvedWorker
const silent = { info() {}, warn() {}, error() {} } as unknown as Logger
const GROWN = { key: 'large 1 2', growthBytes: EJECT_MIN_BYTES, bytes: 2 * EJECT_MIN_BYTES, overMs: 5 }

const CASES: readonly [
  law: string,
  state: string,
  closed: boolean,
  ejected: boolean,
  growthBytes?: number,
][] = [
  ['grew by less than a process costs: not moved', 'running', false, false, EJECT_MIN_BYTES - 1],
  ['running and watched: moved out', 'running', false, true],
  ['running, the watch is closed: not moved', 'running', true, false],
  ['stopping, the watch not closed: not moved', 'stopping', false, false],
]

for (const [law, kind, closed, ejected, growthBytes = EJECT_MIN_BYTES] of CASES)
  t.test(law, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'byre-eject-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const stops: unknown[] = []
    const runner = {
      spec,
      live: true,
      state: { kind },
      listening: { run: 1, patterns: [] },
      stop: (reason: unknown, after: unknown) => stops.push([reason, after]),
    }
    const assignments = new Assignments({
      file: join(folder, 'state.json'),
      now: Date.now,
      log: silent,
      alone: false,
    })
    const deps = {
      log: silent,
      clock: { now: () => 7 },
      workers: { get: () => runner },
      assignments,
    } as unknown as MemoryWatchDeps
    await reportLargest({ ...GROWN, growthBytes }, { groups: ['g'], highBytes: 1 }, deps, {
      closed: () => closed,
      warn: () => {},
    })
    t.same(stops, ejected ? [['move', { kind: 'start', wake: { by: 'manual', at: 7 } }]] : [])
    t.equal(assignments.of(spec), ejected ? 'process' : 'thread')
  })
