// When the imports of the workers are read, and when they are read again: with real modules and the real child.
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { CodeOwners } from '../../src/ownership/code-owners.ts'
import { workerAt } from '../../src/ownership/stack.ts'
import { fakeClock } from '../helpers/fake-clock.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

interface Subject {
  readonly owners: CodeOwners
  readonly names: string[]
  /** The events that were logged. */
  readonly log: string[]
  readonly put: (name: string, text: string) => void
  readonly load: (name: string, again?: boolean) => void
  /** The worker that owns the file. */
  readonly of: (name: string) => string | undefined
}

function subject(t: Test, clock: Clock = systemClock): Subject {
  const folder = realpathSync(mkdtempSync('/tmp/bc-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const names = ['a', 'b']
  const log: string[] = []
  const note = (fields: object): void => void log.push((fields as { event: string }).event)
  const path = (name: string): string => join(folder, `${name}.mjs`)
  const put = (name: string, text: string): void => writeFileSync(path(name), text)
  for (const name of ['a', 'b', 'c']) put(name, `import './lib.mjs'; import './only-${name}.mjs'`)
  for (const name of ['lib', 'only-a', 'only-b', 'only-c', 'more']) put(name, '')
  const owners = new CodeOwners({
    ownRoot: '/nowhere/',
    workers: () => names.map((name) => ({ name, source: { path: path(name) } })),
    own: [],
    cacheFile: join(folder, 'cache.json'),
    clock,
    log: { debug: note, warn: note } as never,
  })
  t.teardown(() => owners.close())
  const load = (name: string, again = false): void =>
    owners.loading({ path: path(name), file: path(name), again })
  return { owners, names, log, put, load, of: (name) => workerAt(path(name), owners.get()) }
}

t.test('an entry module has its owner at once, any other file once the imports have been read', async (t) => {
  const { owners, load, of } = subject(t)
  load('a')
  load('b')
  t.equal(of('a'), 'a')
  t.equal(of('only-a'), undefined)
  await owners.read()
  t.same(['a', 'only-a', 'only-b', 'lib'].map(of), ['a', 'a', 'b', undefined])
})

t.test('a thousand questions at once, and those after them, start one child', async (t) => {
  const { owners, log } = subject(t)
  await Promise.all(Array.from({ length: 1000 }, () => owners.read()))
  await owners.read()
  t.same(log, ['imports-read'])
})

t.test('a file is shared from the moment at which a second worker loads it', async (t) => {
  const { owners, load, names, of, log } = subject(t)
  load('a')
  await owners.read()
  t.equal(of('lib'), 'a', 'b, which imports it too, has not been loaded')
  load('b')
  t.equal(of('lib'), undefined)
  names.push('c')
  owners.herdChanged()
  load('c')
  t.equal(of('only-c'), undefined, 'a module that is new since the reading')
  await owners.read()
  t.equal(of('only-c'), 'c')
  names.splice(0, names.length, 'a')
  owners.herdChanged()
  t.equal(of('lib'), undefined, 'also when the second worker was removed: its code is still loaded')
  t.equal(of('only-c'), undefined)
  t.same(log, ['imports-read', 'imports-read'])
})

t.test(
  'a module that is loaded once more may have other imports; these are read once a minute',
  async (t) => {
    const clock = fakeClock()
    const { owners, load, put, of, log } = subject(t, clock)
    load('a')
    await owners.read()
    put('a', `import './more.mjs'`)
    load('a', true)
    await owners.read()
    t.equal(of('more'), undefined)
    clock.advance(60_000)
    load('a', true)
    await owners.read()
    t.equal(of('more'), 'a')
    t.equal(log.length, 2)
  },
)

t.test('a question waits for 3 s at most, and the reading goes on', async (t) => {
  const clock = fakeClock()
  const { owners, of, load } = subject(t, clock)
  load('a')
  const asked = owners.read()
  clock.advance(3000)
  await asked
  t.equal(of('only-a'), undefined)
  await owners.read()
  t.equal(of('only-a'), 'a')
})

t.test('after a failure it is not tried again for a minute', async (t) => {
  const clock = fakeClock()
  const { owners, log } = subject(t, clock)
  const { execPath } = process
  t.teardown(() => (process.execPath = execPath))
  process.execPath = '/nowhere/node'
  await owners.read()
  await owners.read()
  t.same(log, ['imports-unread'])
  process.execPath = execPath
  clock.advance(60_000)
  await owners.read()
  t.same(log, ['imports-unread', 'imports-read'])
})

t.test('the end of the herd ends the child and every question', async (t) => {
  const { owners, log } = subject(t)
  const asked = owners.read()
  owners.close()
  await asked
  await owners.read()
  t.same(log, [])
})
