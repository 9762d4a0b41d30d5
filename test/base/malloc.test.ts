// The launcher's malloc setting reaches glibc and byre's own child processes, and nothing else.
import t from 'tap'
import { mallocSetting, takeMallocSetting } from '../../src/base/malloc.ts'

t.test("a user's own setting is left unchanged", async (t) => {
  const env = { MALLOC_MMAP_THRESHOLD_: '65536', HOME: '/' }
  takeMallocSetting(env)
  t.same(env, { MALLOC_MMAP_THRESHOLD_: '65536', HOME: '/' })
  t.same(mallocSetting(), {})
})

t.test("the launcher's setting is removed from the environment and kept for child processes", async (t) => {
  const env = { MALLOC_MMAP_THRESHOLD_: '32768', BYRE_MALLOC: '1', HOME: '/' }
  takeMallocSetting(env)
  t.same(env, { HOME: '/' })
  const child = { ...env, ...mallocSetting() }
  t.same(child, { MALLOC_MMAP_THRESHOLD_: '32768', BYRE_MALLOC: '1', HOME: '/' })
})
