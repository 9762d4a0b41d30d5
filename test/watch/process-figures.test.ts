// The figures of the supervisor's process: how often the page tables are walked, and that no figure is stale.
import t from 'tap'
import { readSmapsRollup } from '../../src/procfs/smaps-rollup.ts'
import type { SmapsRollup } from '../../src/procfs/smaps-rollup.ts'
import type { ProcResult } from '../../src/procfs/read.ts'
import { createProcessFigures, MEMORY_SHARED_MS } from '../../src/watch/process-figures.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

/** Each walk reads a different size, so that a figure identifies its walk. */
function countedWalks(): { readonly read: () => ProcResult<SmapsRollup>; count: number } {
  const real = readSmapsRollup('self')
  if (!real.ok) throw new Error(real.reason)
  const walks = {
    count: 0,
    read: (): ProcResult<SmapsRollup> => ({ ok: true, value: { ...real.value, pssBytes: ++walks.count } }),
  }
  return walks
}

t.test('readings within 100 ms share one walk of the page tables; one after it is new', async (t) => {
  const clock = fakeClock()
  const walks = countedWalks()
  const figures = createProcessFigures(clock, walks.read)
  const seen: (number | undefined)[] = []
  for (const advanceMs of [0, 1, MEMORY_SHARED_MS - 2, 1, MEMORY_SHARED_MS - 1, 1]) {
    clock.advance(advanceMs)
    seen.push((await figures.read()).pssBytes)
  }
  t.same(seen, [1, 1, 1, 2, 2, 3])
})

t.test('a figure that cannot be read is absent with its reason, and read again the next time', async (t) => {
  const clock = fakeClock()
  const walks = countedWalks()
  let there = false
  const figures = createProcessFigures(clock, () =>
    there ? walks.read() : { ok: false, reason: 'denied', path: '/proc/self/smaps_rollup' },
  )
  figures.lateBy(3)
  const absent = await figures.read()
  t.equal(absent.pssBytes, undefined)
  t.same(absent.unavailable, { pssBytes: '/proc/self/smaps_rollup: denied' })
  there = true
  clock.advance(MEMORY_SHARED_MS)
  const read = await figures.read()
  t.equal(read.pssBytes, 1)
  t.equal(read.unavailable, undefined)
  t.equal(read.loopDelayP99Ms, 3)
})

t.test('the real walk agrees with the kernel', async (t) => {
  const figures = await createProcessFigures(fakeClock()).read()
  const direct = readSmapsRollup('self')
  if (!direct.ok) throw new Error(direct.reason)
  t.ok(Math.abs(Number(figures.pssBytes) - direct.value.pssBytes) < 0.2 * direct.value.pssBytes)
  t.ok(Number(figures.rssBytes) > 0 && figures.heapUsedBytes > 0)
})
