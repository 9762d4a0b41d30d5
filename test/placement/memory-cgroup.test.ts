// Who is in a cgroup that is to be divided (v2: nobody may stay in it): what byre may move, and what it must leave alone.
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

t.test('the supervisor and what it started are its own, however deep; others are named', async (t) => {
  const members = sortMembers('20\n21\n22\n31\n40\n', 20, (pid) => PARENTS.get(pid))
  t.same(members, { own: [20, 21, 22], foreign: [31] })
})

t.test('a divided cgroup has no members', async (t) => {
  t.same(
    sortMembers('', 20, (pid) => PARENTS.get(pid)),
    { own: [], foreign: [] },
  )
})
