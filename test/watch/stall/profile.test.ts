// stall.profile: a CPU profile from the pause to the end of a stall, only for workers that enable it.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { readBreadcrumb } from '../../../src/herd/breadcrumb.ts'
import { leakGuard } from '../../helpers/leak-guard.ts'
import type { Act } from './acts.ts'
import { ACTS } from './acts.ts'
import { startBlockers, trigger } from './herd.ts'

leakGuard(t)

const loop = ACTS['hot-loop'] as Act

t.test(
  'the profile of a stall is kept, and most of its samples are in the file that blocked the loop',
  async (t) => {
    const herd = await startBlockers(
      t,
      { bad: loop },
      { worker: { stall: { after: '500ms', profile: true } } },
    )
    await trigger(herd, 'bad')
    const { file } = await herd.line({ event: 'stall-profile', worker: 'bad' })
    t.match(file, /\.stall\.cpuprofile$/)
    const profile = JSON.parse(readFileSync(String(file), 'utf8')) as {
      readonly nodes: readonly { readonly callFrame: { readonly url: string }; readonly id: number }[]
      readonly samples: readonly number[]
    }
    // Not by function: V8 names inlined code after the function it is inlined into.
    const held = profile.nodes
      .filter(({ callFrame }) => callFrame.url.endsWith('/bad.mjs'))
      .map(({ id }) => id)
    const inside = profile.samples.filter((id) => held.includes(id)).length
    t.ok(inside > 0.5 * profile.samples.length, `${inside} of ${profile.samples.length} samples`)
    t.equal(dirname(String(file)), join(herd.folder, 'state', 'h', 'profiles'))
    t.equal(readdirSync(dirname(String(file))).length, 1)
    t.same(await herd.stop(), { code: 0, signal: null })
  },
)

t.test('without stall.profile no profile is taken', async (t) => {
  const herd = await startBlockers(t, { bad: loop }, { worker: { stall: { after: '500ms' } } })
  const crumb = readBreadcrumb(join(herd.folder, 'state/h/_all.breadcrumb'))
  t.equal(crumb?.watched, true, 'the next start can tell that the loop was watched')
  await trigger(herd, 'bad')
  await herd.line({ event: 'stall-over', worker: 'bad' })
  t.equal(existsSync(join(herd.folder, 'state', 'h', 'profiles')), false)
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('with stall.profile of one worker the stall of another is reported without a profile', async (t) => {
  const herd = await startBlockers(
    t,
    { bad: loop, profiled: loop },
    {
      workers: { bad: { stall: { after: '500ms' } }, profiled: { stall: { after: '500ms', profile: true } } },
    },
  )
  await trigger(herd, 'bad')
  await herd.line({ event: 'stall-over', worker: 'bad' })
  await trigger(herd, 'profiled')
  const { file } = await herd.line({ event: 'stall-profile', worker: 'profiled' })
  t.equal(readdirSync(dirname(String(file))).length, 1)
  t.same(await herd.stop(), { code: 0, signal: null })
})
