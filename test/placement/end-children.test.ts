// Which processes belong to an ended run: by descent and session, never by the pid alone.
import t from 'tap'
import { selectChildren } from '../../src/placement/end-children.ts'
import type { ProcStat } from '../../src/procfs/stat.ts'

/** The session of the supervisor. */
const OWN = 5

const stat = (pid: number, ppid: number, session: number, more: Partial<ProcStat> = {}): ProcStat => ({
  pid,
  comm: 'p',
  state: 'S',
  ppid,
  session,
  userTicks: 0,
  systemTicks: 0,
  threads: 1,
  startTicks: pid * 10,
  ...more,
})
const identity = (pid: number) => ({ pid, startTicks: pid * 10 })

interface Row {
  readonly title: string
  readonly table: readonly ProcStat[]
  readonly known?: readonly number[]
  /** Pid of the worker's own process. */
  readonly leader?: number
  readonly running: readonly number[]
  readonly detached?: readonly number[]
}

const ROWS: readonly Row[] = [
  {
    title: 'what the run has started, and its descendants; nothing else of the supervisor',
    table: [stat(10, 5, OWN), stat(11, 10, OWN), stat(12, 11, OWN), stat(20, 5, OWN), stat(1, 0, 1)],
    known: [10],
    running: [10, 11, 12],
  },
  {
    title: 'a process with a reused pid is another one',
    table: [stat(10, 5, OWN, { startTicks: 999 }), stat(11, 10, OWN)],
    known: [10],
    running: [],
  },
  {
    title: 'a zombie has ended; what it has left is known from before',
    table: [stat(10, 5, OWN, { state: 'Z' }), stat(11, 1, OWN)],
    known: [10, 11],
    running: [11],
  },
  {
    title: 'a process with a session of its own is left, with its descendants',
    table: [stat(10, 5, 10), stat(11, 10, 10), stat(12, 5, OWN), stat(13, 12, 13), stat(14, 13, 13)],
    known: [10, 12],
    running: [12],
    detached: [10, 13],
  },
  {
    title: `the session of the worker's process, orphans included`,
    table: [stat(31, 1, 30), stat(32, 31, 30), stat(33, 1, 33), stat(34, 5, OWN)],
    known: [33],
    leader: 30,
    running: [31, 32],
    detached: [33],
  },
  {
    title: `the worker's process itself is not one of its children`,
    table: [stat(30, 5, 30), stat(31, 30, 30)],
    leader: 30,
    running: [31],
  },
  {
    title: `the pid of the worker's process is reused: the session has ended`,
    table: [stat(30, 1, 30, { startTicks: 999 }), stat(31, 30, 30)],
    leader: 30,
    running: [],
  },
]

for (const { title, table, known = [], leader, running, detached = [] } of ROWS)
  t.test(title, async (t) => {
    const selected = selectChildren(
      new Map(table.map((each) => [each.pid, each])),
      leader ?? OWN,
      leader === undefined ? undefined : identity(leader),
      known.map(identity),
    )
    t.same(
      selected.running.map(({ pid }) => pid),
      running,
    )
    t.same(
      selected.detached.map(({ pid }) => pid),
      detached,
    )
  })
