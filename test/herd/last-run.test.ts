// Who took the last process down: what a breadcrumb and a fatal report prove, and what they do not.
import { mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { createRunScope } from '../../src/ownership/run-scope.ts'
import { openBreadcrumb, readBreadcrumb } from '../../src/herd/breadcrumb.ts'
import type { Crumb } from '../../src/herd/breadcrumb.ts'
import { explainLastRun, takeFatalReport, takeUnitResult, verdictOfUnit } from '../../src/herd/last-run.ts'
import type { UnitResult } from '../../src/herd/last-run.ts'
import { eventually } from '../helpers/events.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

const NOW = 1_000_000
const host = { now: NOW, bootedAt: 500_000 }
const owners = { byModule: new Map([['/herd/bad.mjs', ['bad']]]), ownRoot: '/byre/' }
const crumb = (more: Partial<Crumb>): Crumb => ({
  v: 1,
  pid: 7,
  startedAt: 1,
  state: 'in',
  worker: 'bad',
  at: NOW - 5000,
  ...more,
})
const report = (stack: string, event = 'Allocation failed - JavaScript heap out of memory') => ({
  event,
  stack,
})

const LAWS: readonly [
  string,
  Parameters<typeof explainLastRun>[0],
  Parameters<typeof explainLastRun>[1],
  object | undefined,
][] = [
  ['no note names nobody', undefined, undefined, undefined],
  ['a clean end names nobody', crumb({ state: 'clean' }), undefined, undefined],
  ['an idle loop names nobody', crumb({ state: 'idle' }), undefined, undefined],
  [
    'a loop held for over a second names its worker for certain',
    crumb({}),
    undefined,
    { worker: 'bad', certain: true, exit: { verdict: 'unknown', evidence: { state: 'in', pid: 7 } } },
  ],
  [
    'a death just after entering a worker is perhaps by chance',
    crumb({ at: NOW - 999 }),
    undefined,
    { worker: 'bad', certain: false },
  ],
  [
    'a note from the future of a clock set back is perhaps by chance',
    crumb({ at: NOW + 60_000 }),
    undefined,
    { certain: false },
  ],
  ['a note from before the machine went down names nobody', crumb({ at: 400_000 }), undefined, undefined],
  [
    'a heap out of memory names the worker of the stack before that of the note',
    crumb({ worker: 'other' }),
    report('    at /herd/bad.mjs:1:1'),
    { worker: 'bad', certain: true, exit: { verdict: 'oom-heap', evidence: { namedBy: 'stack' } } },
  ],
  [
    'a heap out of memory without a stack names the worker of the note',
    crumb({ worker: 'other' }),
    report(''),
    { worker: 'other', certain: true, exit: { evidence: { namedBy: 'breadcrumb' } } },
  ],
  [
    'a heap out of memory in nobody names nobody',
    crumb({ state: 'idle', worker: undefined as never }),
    report(''),
    undefined,
  ],
  [
    'another fatal error is not called out of memory',
    crumb({}),
    report('', 'assertion failed'),
    { exit: { verdict: 'unknown' } },
  ],
]
for (const [law, note, fatal, wanted] of LAWS)
  t.test(law, async (t) => {
    const found = explainLastRun(note, fatal, () => owners, host)
    if (wanted === undefined) t.equal(found, undefined)
    else t.match(found, wanted)
  })

const scope = (worker: string, run = 1) =>
  createRunScope(worker, 0, run, { stray() {}, exitCalled() {}, touched() {}, output() {} })

function folderOf(t: Test): string {
  const folder = mkdtempSync('/tmp/bh-')
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

t.test('entries are written once that is asked for', (t) => {
  const file = join(folderOf(t), 'x.breadcrumb')
  const note = openBreadcrumb(file, 1)
  note.entered(scope('one'))
  t.match(readBreadcrumb(file), { state: 'idle' })
  note.writeEntries()
  note.entered(scope('one'))
  t.match(readBreadcrumb(file), { state: 'in', worker: 'one' })
  note.close()
  t.end()
})

t.test('with entries, the note says whose turn it is, until the last microtask of that turn', async (t) => {
  const file = join(folderOf(t), 'sub', 'x.breadcrumb')
  const note = openBreadcrumb(file, 1)
  note.writeEntries()
  t.match(readBreadcrumb(file), { state: 'idle', startedAt: 1, pid: process.pid })
  await new Promise<void>((done) =>
    setImmediate(() => {
      note.entered(scope('one'))
      t.match(readBreadcrumb(file), { state: 'in', worker: 'one' })
      let chain = Promise.resolve()
      for (let i = 0; i < 100; i++) chain = chain.then(() => {})
      void chain.then(() => t.match(readBreadcrumb(file), { state: 'in', worker: 'one' }))
      setImmediate(done)
    }),
  )
  t.match(readBreadcrumb(file), { state: 'idle' })
  t.notOk(readBreadcrumb(file)?.worker)
  note.close()
  t.match(readBreadcrumb(file), { state: 'clean' })
  note.entered(scope('late'))
  t.match(readBreadcrumb(file), { state: 'clean' }, 'nothing is noted after the end')
})

t.test(
  'while a module loads the resting state is in its worker, renewed, and others are told apart',
  async (t) => {
    const file = join(folderOf(t), 'x.breadcrumb')
    const note = openBreadcrumb(file, 1)
    t.teardown(() => note.close())
    note.writeEntries()
    const load = note.loading(scope('slow'))
    t.match(readBreadcrumb(file), { state: 'in', worker: 'slow' }, 'at once')
    note.entered(scope('slow'))
    await new Promise((done) => setImmediate(done))
    const first = readBreadcrumb(file)
    t.match(first, { state: 'in', worker: 'slow' })
    note.entered(scope('other'))
    t.match(readBreadcrumb(file), { worker: 'other' })
    await eventually('a renewal', () => {
      const now = readBreadcrumb(file)
      return now?.worker === 'slow' && now.at > first!.at
    })
    load.done()
    load.done()
    t.match(readBreadcrumb(file), { state: 'idle' })
  },
)

t.test('a disk that is full ends the notes, is told once and harms nobody', async (t) => {
  const errors: unknown[] = []
  const note = openBreadcrumb('/dev/full', 1, (error) => errors.push(error))
  for (const worker of ['one', 'two', 'three']) note.entered(scope(worker))
  note.close()
  t.match(errors, [{ code: 'ENOSPC' }])
  t.equal(errors.length, 1)
})

t.test('a report is read once; a torn one is none', async (t) => {
  const file = join(folderOf(t), 'report.json')
  writeFileSync(
    file,
    JSON.stringify({
      header: { event: 'x' },
      javascriptStack: { stack: ['at /herd/bad.mjs:1:1', '/other.mjs:2:2'] },
      javascriptHeap: { usedMemory: 5, memoryLimit: 6 },
    }),
  )
  t.same(takeFatalReport(file), {
    event: 'x',
    stack: '    at /herd/bad.mjs:1:1\n    at /other.mjs:2:2',
    heapUsedBytes: 5,
    heapLimitBytes: 6,
  })
  t.equal(takeFatalReport(file), undefined)
  writeFileSync(file, '{"header":')
  t.equal(takeFatalReport(file), undefined)
  t.throws(() => readFileSync(file), { code: 'ENOENT' }, 'and is not read again at every start')
})

t.test(
  'killed inside a worker whose stalls are watched, and started again late: no proof against it',
  async (t) => {
    const watched = (worker: string): boolean => worker === 'bad'
    const explain = (more: object): unknown =>
      explainLastRun(crumb({ watched: true }), undefined, () => owners, { ...host, watched, ...more })
    t.match(explain({}), { worker: 'bad', certain: false }, 'a held loop would have left a note')
    t.match(explain({ watched: () => false }), { certain: true })
    const unseen = explainLastRun(crumb({}), undefined, () => owners, { ...host, watched })
    t.match(unseen, { certain: true }, 'its config asks for that, but nobody watched')
    const unit = { result: 'signal', exitStatus: 'KILL', oomKills: 0, at: NOW - 3000 }
    t.match(explain({ unit }), { certain: true }, 'the unit knows when it ended')
  },
)

t.test('the note says whether stalls were looked for when it was written', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'byre-crumb-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'h.crumb')
  const note = openBreadcrumb(file, 1)
  t.notOk(readBreadcrumb(file)?.watched)
  note.watched(true)
  t.match(readBreadcrumb(file), { state: 'idle', watched: true })
  note.writeEntries()
  note.entered(scope('bad'))
  t.match(readBreadcrumb(file), { state: 'in', worker: 'bad', watched: true })
  note.watched(false)
  t.match(readBreadcrumb(file), { state: 'in', worker: 'bad' }, 'its state stays')
  t.notOk(readBreadcrumb(file)?.watched)
  note.close()
})

t.test('what the unit saw decides the verdict, and when the process died', async (t) => {
  const unit: UnitResult = { result: 'signal', exitStatus: 'KILL', oomKills: 0, at: NOW - 4500 }
  const explain = (more: Partial<UnitResult>) =>
    explainLastRun(crumb({}), undefined, () => owners, { ...host, unit: { ...unit, ...more } })
  t.match(
    explain({}),
    { certain: false, exit: { verdict: 'unknown' } },
    'died 500 ms after entering, long ago',
  )
  t.match(explain({ at: NOW - 3000 }), { certain: true }, 'held for 2 s')
  t.match(explain({ oomKills: 1 }), { exit: { verdict: 'oom-host', evidence: { unit: { oomKills: 1 } } } })
  t.match(explain({ result: 'oom-kill' }), { exit: { verdict: 'oom-host' } })
  t.match(explain({ result: 'watchdog', at: NOW }), { certain: true, exit: { verdict: 'stalled' } })
  // with WatchdogSec=1s a loop may be held for little more than half of it when the kill comes
  t.match(explain({ result: 'watchdog' }), { certain: true, exit: { verdict: 'stalled' } }, 'held for 500 ms')
  t.match(explain({ result: 'watchdog', at: NOW - 4900 }), { certain: false }, 'entered just before the end')
  const told = (waitedPercent: number) => explain({ result: 'watchdog', at: NOW, waitedPercent })?.exit.reason
  t.match(told(55.4), /its loop was blocked, while the kernel let the unit wait for memory \(55\.4 % of/)
  t.notMatch(told(9.9), /memory/)
  t.equal(verdictOfUnit(unit), 'unknown')
})

t.test('a report whose stack lies behind the link of the config names its worker', async (t) => {
  const folder = realpathSync(folderOf(t))
  writeFileSync(join(folder, 'bad.mjs'), '')
  symlinkSync(folder, join(folder, 'current'))
  const linked = { byModule: new Map([[join(folder, 'current/bad.mjs'), ['bad']]]), ownRoot: '/byre/' }
  const frames = `    at f (file://${folder}/bad.mjs:1:1)`
  t.match(
    explainLastRun(crumb({ worker: 'other' }), report(frames), () => linked, host),
    { worker: 'bad', exit: { evidence: { namedBy: 'stack' } } },
  )
})

t.test('the note of a unit is read once, and nonsense is no note', async (t) => {
  const file = join(folderOf(t), 'g.unit.json')
  writeFileSync(
    file,
    '{"v":1,"result":"watchdog","exitCode":"dumped","exitStatus":"ABRT","oomKills":0,"at":5}',
  )
  t.same(takeUnitResult(file), { result: 'watchdog', exitStatus: 'ABRT', oomKills: 0, at: 5 })
  t.equal(takeUnitResult(file), undefined)
  writeFileSync(
    file,
    '{"v":1,"result":"signal","exitStatus":"KILL","oomKills":0,"waitedPercent":4.50,"at":5}',
  )
  t.match(takeUnitResult(file), { waitedPercent: 4.5 })
  for (const text of ['', '[]', 'null', '{"result":5,"oomKills":0,"at":1}', '{"result":"signal"}']) {
    writeFileSync(file, text)
    t.equal(takeUnitResult(file), undefined, text)
  }
})
