// One profile of a loop at a time, whoever asks; and what is kept on disk costs nobody else's.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { systemClock } from '../../../src/base/clock.ts'
import { keepProfile } from '../../../src/supervisor/profile/files.ts'
import { takeProfile } from '../../../src/supervisor/profile/profile.ts'

function folderOf(t: { teardown: (fn: () => void) => unknown }): string {
  const folder = mkdtempSync(join(tmpdir(), 'byre-profile-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

t.test('a second one of the same loop is refused, and the first is whole', async (t) => {
  const source = {
    folder: folderOf(t),
    label: 'g',
    ownRoot: '/nowhere/',
    clock: systemClock,
    members: [],
  }
  const first = takeProfile({ kind: 'heap', windowMs: 100 }, source)
  await t.rejects(takeProfile({ kind: 'heap', windowMs: 100 }, source), { code: 'BYRE_CONTROL_BUSY' })
  t.match(await first, { kind: 'heap', file: /\.g\.heapprofile$/ })
  t.match(await takeProfile({ kind: 'heap', windowMs: 100 }, source), { kind: 'heap' }, 'it is free again')
})

t.test('ten of each kind and label are kept, the oldest go first', async (t) => {
  const folder = folderOf(t)
  keepProfile({ folder, label: 'g' }, 'heap', 'mine', 0)
  keepProfile({ folder, label: 'g' }, 'cpu', 'mine', 0)
  for (let at = 1; at <= 15; at++) keepProfile({ folder, label: 'g.memory' }, 'heap', '{}', at)
  const names = readdirSync(join(folder, 'profiles'))
  const ends = (end: string): string[] => names.filter((name) => name.endsWith(end))
  t.equal(ends('Z.g.heapprofile').length, 1)
  t.equal(ends('Z.g.cpuprofile').length, 1)
  t.equal(ends('.g.memory.heapprofile').length, 10)
  t.match(ends('.g.memory.heapprofile').toSorted()[0], /006Z/, 'the first five are gone')
})
