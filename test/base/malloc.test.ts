// The launcher's malloc setting reaches glibc and byre's own children, and nobody else.
import t from 'tap'
import { mallocSetting, takeMallocSetting } from '../../src/base/malloc.ts'

t.test("a user's own setting is nobody's business", async (t) => {
  const env = { MALLOC_MMAP_THRESHOLD_: '65536', HOME: '/' }
  takeMallocSetting(env)
  t.same(env, { MALLOC_MMAP_THRESHOLD_: '65536', HOME: '/' })
  t.same(mallocSetting(), {})
})

t.test('what the launcher set is taken out of the environment and kept for children', async (t) => {
  const env = { MALLOC_MMAP_THRESHOLD_: '32768', BYRE_MALLOC: '1', HOME: '/' }
  takeMallocSetting(env)
  t.same(env, { HOME: '/' })
  const child = { ...env, ...mallocSetting() }
  t.same(child, { MALLOC_MMAP_THRESHOLD_: '32768', BYRE_MALLOC: '1', HOME: '/' })
})
