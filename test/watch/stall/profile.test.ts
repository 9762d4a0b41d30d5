// stall.profile: what the loop did from the pause to the end of a stall, in a file; of the worker that asks for it only.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { readBreadcrumb } from '../../../src/herd/breadcrumb.ts'
import { leakGuard } from '../../helpers/leak-guard.ts'
import type { Act } from './acts.ts'
import { ACTS } from './acts.ts'
import { setOff, startBlockers } from './herd.ts'

leakGuard(t)

const loop = ACTS['hot-loop'] as Act

t.test(
  'the profile of a stall is kept, and most of its samples are in the file that held the loop',
  async (t) => {
    const herd = await startBlockers(
      t,
      { bad: loop },
      { worker: { stall: { after: '500ms', profile: true } } },
    )
    await setOff(herd, 'bad')
    const { file } = await herd.line({ event: 'stall-profile', worker: 'bad' })
    t.match(file, /\.stall\.cpuprofile$/)
    const profile = JSON.parse(readFileSync(String(file), 'utf8')) as {
      readonly nodes: readonly { readonly callFrame: { readonly url: string }; readonly id: number }[]
      readonly samples: readonly number[]
    }
    // Not by function: V8 names inlined code after what it is inlined into.
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

t.test('nobody asks for one: none is taken', async (t) => {
  const herd = await startBlockers(t, { bad: loop }, { worker: { stall: { after: '500ms' } } })
  const crumb = readBreadcrumb(join(herd.folder, 'state/h/_all.breadcrumb'))
  t.equal(crumb?.watched, true, 'the next start can tell that somebody watched')
  await setOff(herd, 'bad')
  await herd.line({ event: 'stall-over', worker: 'bad' })
  t.equal(existsSync(join(herd.folder, 'state', 'h', 'profiles')), false)
  t.same(await herd.stop(), { code: 0, signal: null })
})

t.test('one worker asks for profiles: the stall of another is not sampled, and both are told', async (t) => {
  const herd = await startBlockers(
    t,
    { bad: loop, asks: loop },
    { workers: { bad: { stall: { after: '500ms' } }, asks: { stall: { after: '500ms', profile: true } } } },
  )
  await setOff(herd, 'bad')
  await herd.line({ event: 'stall-over', worker: 'bad' })
  await setOff(herd, 'asks')
  const { file } = await herd.line({ event: 'stall-profile', worker: 'asks' })
  t.equal(readdirSync(dirname(String(file))).length, 1)
  t.same(await herd.stop(), { code: 0, signal: null })
})
