// A start after a fatal report: it waits for the imports of the workers only when the stack needs them to name one.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Crumb } from '../../src/herd/breadcrumb.ts'
import { isolateCulprit } from '../../src/herd/isolate-culprit.ts'
import { reachTable } from '../../src/imports/table.ts'
import type { StackOwners } from '../../src/ownership/stack.ts'

const BY_ENTRY: StackOwners = {
  byModule: new Map([
    ['/herd/bad.mjs', ['bad']],
    ['/herd/other.mjs', ['other']],
  ]),
  ownRoot: '/byre/',
  loaded: new Set(),
}
const files = {
  '/herd/lib/bad.mjs': ['/herd/bad.mjs'],
  '/herd/lib/both.mjs': ['/herd/bad.mjs', '/herd/other.mjs'],
}
const WITH_IMPORTS = { ...BY_ENTRY, reach: reachTable(Object.keys(files), [0, 1], Object.values(files)) }

const CASES: readonly [law: string, frames: string[], waits: boolean, isolated: string][] = [
  ['a helper that only one worker imports', ['/herd/lib/bad.mjs', '/herd/other.mjs'], true, 'bad'],
  [
    'a shared helper: the entry module on the stack',
    ['/herd/lib/both.mjs', '/herd/other.mjs'],
    true,
    'other',
  ],
  ['a shared helper alone: the worker of the note', ['/herd/lib/both.mjs'], true, 'other'],
  ['an entry module', ['/herd/bad.mjs', '/herd/lib/both.mjs'], false, 'bad'],
  ['no stack: the worker of the note', [], false, 'other'],
]

for (const [law, frames, waits, isolated] of CASES)
  t.test(law, async (t) => {
    const stateFolder = mkdtempSync('/tmp/bl-')
    t.teardown(() => rmSync(stateFolder, { recursive: true, force: true }))
    writeFileSync(
      join(stateFolder, '_all.report.json'),
      JSON.stringify({
        header: { event: 'Allocation failed - JavaScript heap out of memory' },
        javascriptStack: { message: '', stack: frames.map((path) => `at f (file://${path}:1:1)`) },
      }),
    )
    const crumb: Crumb = { v: 1, pid: 7, startedAt: 1, state: 'in', worker: 'other', at: Date.now() - 5000 }
    const found: string[] = []
    let known = BY_ENTRY
    let reads = 0
    const runner = (name: string): object => ({
      record: { inherited() {} },
      spec: { name, stall: { detect: true } },
      isolate: () => found.push(name),
    })
    await isolateCulprit(crumb, {
      stateFolder,
      label: '_all',
      log: { error() {}, warn() {} } as never,
      codeOwners: {
        get: () => known,
        async read() {
          reads++
          known = WITH_IMPORTS
        },
      },
      now: Date.now(),
      eject: () => false,
      runnerOf: (name) => runner(name) as never,
    })
    t.same(found, [isolated])
    t.equal(reads > 0, waits, 'it waits')
  })
