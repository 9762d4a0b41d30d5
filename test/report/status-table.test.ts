// The table of `byre status`, for any width of the terminal.
import t from 'tap'
import { statusTable } from '../../src/report/status-table.ts'
import { printable, textTable } from '../../src/report/text-table.ts'
import { supervisorStatus, worker } from '../control/fake-target.ts'

const now = 1_700_000_100_000

const herd = supervisorStatus(
  [
    worker('webhook', { restarts: 2, load: { ms: 12.4, rssBytes: 3_400_000 } }),
    worker('alarm', {
      state: 'quarantined',
      quarantine: '5 failures within 5m; byre start alarm',
      lastExit: { verdict: 'failed', reason: 'connect ECONNREFUSED', evidence: {}, at: now - 65_000 },
    }),
    worker('report', {
      state: 'dormant',
      activation: 'lazy',
      unclaimed: 2,
      load: { ms: 8, unavailable: { rssBytes: 'x' } },
    }),
    worker('mail', {
      state: 'backing-off',
      retryAt: now + 3_200,
      placement: 'process',
      rssBytes: 44_000_000,
    }),
    worker('sync', {
      state: 'stopped',
      load: { unavailable: { ms: 'x', rssBytes: 'x' } },
      waitingFor: ['mail', 'alarm'],
      codeChanged: true,
    }),
  ],
  {
    pid: 4711,
    startedAt: now - 7_380_000,
    process: {
      pssBytes: 88_500_000,
      anonBytes: 60_100_000,
      heapUsedBytes: 1,
      cpuRatio: 0,
      loopDelayP99Ms: 1.2,
    },
  },
)

t.test('the complete table', async (t) => {
  t.equal(
    statusTable([herd], { now }),
    `shop/batch  pid 4711  up 2h 3m  embedded bus  pss 88.5 MB  private 60.1 MB  loop p99 1.2ms  ready in 300ms
  WORKER   STATE        IN       RESTARTS          LOAD   MEMORY  NOTE
  webhook  running      shared          2  12ms +3.4 MB        -
  alarm    quarantined  shared          0             -        -  5 failures within 5m; byre start alarm; failed 1m 5s ago: connect ECONNREFUSED
  report   dormant      shared          0           8ms        -  2 messages unclaimed
  mail     backing-off  process         0             -  44.0 MB  next start in 3s
  sync     stopped      shared          0             -        -  waiting for mail, alarm; code changed on disk since it was loaded
  5 workers: 1 running, 1 quarantined, 1 dormant, 1 backing-off, 1 stopped
`,
  )
})

t.test('workers stay in config order, supervisors in the order given', async (t) => {
  const names = (text: string): string[] =>
    [...text.matchAll(/^ {2}(\w+) +(?:running|dormant)/gm)].map((m) => m[1]!)
  const one = supervisorStatus([worker('zebra'), worker('ant', { state: 'dormant' })], { group: 'b' })
  const two = supervisorStatus([worker('mouse')], { group: 'a' })
  t.same(names(statusTable([one, two], { now })), ['zebra', 'ant', 'mouse'])
})

t.test(
  'no line is wider than the terminal: the note is truncated, then columns are dropped; name and state stay',
  async (t) => {
    for (const width of [120, 100, 80, 60, 40]) {
      const lines = statusTable([herd], { now, width }).split('\n').slice(1, 7)
      for (const line of lines) t.ok(Array.from(line).length <= width, `${line.length} of ${width}: ${line}`)
      t.match(lines[2], /^ {2}alarm +quarantined .*5 failures/)
    }
    t.match(statusTable([herd], { now, width: 80 }), /…/)
    t.notMatch(statusTable([herd], { now, width: 60 }), /LOAD/)
  },
)

t.test('text thrown by a worker cannot control the terminal', async (t) => {
  const nasty = '\u001b[2J\u001b]0;owned\u0007 first\nsecond \u202e reversed'
  t.equal(printable(nasty), ' [2J ]0;owned  first second   reversed')
  const text = statusTable([supervisorStatus([worker('a', { state: 'quarantined', quarantine: nasty })])], {
    now,
  })
  for (const character of ['\u001b', '\u0007', '\u202e']) t.notOk(text.includes(character))
  t.equal(text.split('\n').length, 5)
})

t.test('absent figures are omitted, not shown as 0', async (t) => {
  const bare = supervisorStatus([], {
    process: { heapUsedBytes: 1, cpuRatio: 0 },
    phases: {},
    startedAt: now + 5000,
  })
  t.equal(
    statusTable([bare], { now }),
    `shop/batch  pid ${process.pid}  up 0s  embedded bus  starting\n  (no workers)\n  0 workers\n`,
  )
})

t.test('a table pads by characters, aligns numbers right and cuts only the last column', async (t) => {
  const columns = [{ title: 'A' }, { title: 'N', align: 'right' as const }, { title: 'NOTE' }]
  t.same(
    textTable(
      columns,
      [
        ['äöü', '7', 'short'],
        ['x', '1234', 'quite long'],
      ],
      { width: 16 },
    ),
    ['A       N  NOTE', 'äöü     7  short', 'x    1234  quit…'],
  )
  t.same(textTable(columns, []), ['A  N  NOTE'])
})
