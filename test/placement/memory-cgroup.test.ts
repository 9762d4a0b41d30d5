// The members of a cgroup that is to be divided (v2: it must become empty): which ones byre may move, and which it must not.
import t from 'tap'
import { sortMembers } from '../../src/placement/memory-cgroup.ts'

/** pid to parent. 20 is the supervisor; 40 has ended. */
const PARENTS = new Map([
  [20, 1],
  [21, 20],
  [22, 21],
  [30, 1],
  [31, 30],
])

t.test('the supervisor and its descendants are its own; others are foreign', async (t) => {
  const members = sortMembers('20\n21\n22\n31\n40\n', 20, (pid) => PARENTS.get(pid))
  t.same(members, { own: [20, 21, 22], foreign: [31] })
})

t.test('a divided cgroup has no members', async (t) => {
  t.same(
    sortMembers('', 20, (pid) => PARENTS.get(pid)),
    { own: [], foreign: [] },
  )
})
