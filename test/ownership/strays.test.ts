// Errors whose owner the imports of the workers decide: what waits for these, what is decided at once, and by which run.
import t from 'tap'
import type { Test } from 'tap'
import { deferred } from '../../src/base/deferred.ts'
import { reachTable } from '../../src/imports/table.ts'
import { createRunScope, strayIn } from '../../src/ownership/run-scope.ts'
import type { RunScope } from '../../src/ownership/run-scope.ts'
import type { StackOwners } from '../../src/ownership/stack.ts'
import { catchStrays } from '../../src/ownership/strays.ts'

const files = { '/app/lib.js': ['/app/a.js'] }
const reach = reachTable(Object.keys(files), [0], Object.values(files))

interface World {
  /** What was reported, in order: 'a run 1: message', 'late a: message', ... */
  readonly reports: string[]
  /** Begins a run and makes it the current one of its worker. */
  readonly begin: (worker: string, run: number) => RunScope
  /** An error with these frames surfaces in `scope`. */
  readonly surface: (scope: RunScope, message: string, ...frames: string[]) => void
  /** The imports are known now. */
  readonly known: () => Promise<void>
  readonly undo: () => void
  readonly loaded: Set<string>
}

function world(t: Test): World {
  const reports: string[] = []
  const loaded = new Set(['/app/a.js', '/app/b.js'])
  const runs = new Map<string, RunScope>()
  const read = deferred()
  let owners: StackOwners = {
    byModule: new Map([
      ['/app/a.js', ['a']],
      ['/app/b.js', ['b']],
    ]),
    ownRoot: '/byre/',
    loaded,
  }
  const message = (error: unknown): string => (error as Error).message
  const undo = catchStrays({
    owners: () => owners,
    runOf: (worker) => runs.get(worker),
    onUnattributed: (error) => reports.push(`nobody: ${message(error)}`),
    onInternal: (error) => reports.push(`byre: ${message(error)}`),
    onHandled: () => {},
    several: {
      readImports: () => read.promise,
      onLate: (error, _, worker) => reports.push(`late ${worker}: ${message(error)}`),
    },
  })
  t.teardown(undo)
  return {
    reports,
    loaded,
    undo,
    begin(worker, run) {
      const stray = (error: unknown): void => void reports.push(`${worker} run ${run}: ${message(error)}`)
      const sink = { stray, exitCalled() {}, touched() {}, output() {} }
      const scope = createRunScope(worker, 0, run, sink, `/app/${worker}.js`)
      scope.loading = false
      runs.set(worker, scope)
      return scope
    },
    surface(scope, text, ...frames) {
      const error = new Error(text)
      error.stack = [`Error: ${text}`, ...frames.map((path) => `    at f (file://${path}:1:1)`)].join('\n')
      strayIn(scope, error, 'test')
    },
    async known() {
      owners = { ...owners, reach }
      read.resolve()
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

t.test(
  'what the imports may decide waits for them, in its order; what an entry module decides does not',
  async (t) => {
    const { begin, surface, known, reports } = world(t)
    begin('a', 1)
    const b = begin('b', 1)
    surface(b, 'one', '/app/lib.js', '/app/b.js')
    surface(b, 'two', '/app/unknown.js')
    surface(b, 'entry', '/app/b.js', '/app/lib.js')
    surface(b, 'no stack')
    t.same(reports, ['b run 1: entry', 'b run 1: no stack'])
    await known()
    t.same(reports.slice(2), ['a run 1: one', 'b run 1: two'])
    surface(b, 'three', '/app/lib.js')
    t.equal(reports.at(-1), 'a run 1: three', 'known from then on')
  },
)

t.test('a run that began after an error is not charged with it', async (t) => {
  const { begin, surface, known, reports } = world(t)
  begin('a', 1)
  const b = begin('b', 1)
  surface(b, 'early', '/app/lib.js')
  begin('a', 2)
  surface(b, 'later', '/app/lib.js')
  await known()
  t.same(reports, ['late a: early', 'a run 2: later'])
})

t.test('code of a worker without a run is charged to nobody', async (t) => {
  const { begin, surface, known, reports } = world(t)
  const b = begin('b', 1)
  surface(b, 'left', '/app/lib.js')
  await known()
  t.same(reports, ['late a: left'])
})

t.test('the only worker that is loaded does not wait', async (t) => {
  const { begin, surface, loaded, reports } = world(t)
  loaded.delete('/app/b.js')
  surface(begin('a', 1), 'alone', '/app/lib.js')
  t.same(reports, ['a run 1: alone'])
})

t.test('a thousand errors wait; more are decided by their context', async (t) => {
  const { begin, surface, known, reports } = world(t)
  begin('a', 1)
  const b = begin('b', 1)
  for (let i = 0; i < 1002; i++) surface(b, String(i), '/app/lib.js')
  t.same(reports, ['b run 1: 1000', 'b run 1: 1001'])
  await known()
  t.equal(reports.length, 1002)
  t.equal(reports[2], 'a run 1: 0')
})

t.test('the end of the supervisor decides what still waits', async (t) => {
  const { begin, surface, undo, reports } = world(t)
  surface(begin('b', 1), 'last', '/app/lib.js')
  undo()
  t.same(reports, ['b run 1: last'])
})
