import t from 'tap'
import { script } from './script.ts'

interface Run {
  ok: boolean
  ms: number
}
interface Entry {
  plain: Run[]
  thread?: { ok: boolean }
}
interface Baseline {
  passesPlainly: (entry: Entry | undefined, placement: string) => boolean | undefined
  plainMs: (entry: Entry) => number
  mergeBaselines: (
    first: { files: Record<string, Entry> },
    second: { files: Record<string, Entry> },
  ) => { files: Record<string, Entry> }
}
const { passesPlainly, plainMs, mergeBaselines } = await script<Baseline>('baseline.mjs')

const passed = { ok: true, ms: 10 }
const failed = { ok: false, ms: 30 }

t.test('a file passes plainly when it does so twice, and in a thread too for thread', async (t) => {
  const cases: [string, Entry | undefined, boolean | undefined, boolean | undefined][] = [
    ['never run', undefined, undefined, undefined],
    ['passed once', { plain: [passed] }, undefined, undefined],
    ['failed once', { plain: [failed] }, false, false],
    ['passed, then failed', { plain: [passed, failed] }, false, false],
    ['passed twice', { plain: [passed, passed] }, true, undefined],
    ['passed in a thread', { plain: [passed, passed], thread: { ok: true } }, true, true],
    ['failed in a thread', { plain: [passed, passed], thread: { ok: false } }, true, false],
  ]
  for (const [what, entry, inProcess, inThread] of cases) {
    t.equal(passesPlainly(entry, 'process'), inProcess, `${what}: process`)
    t.equal(passesPlainly(entry, 'shared'), inProcess, `${what}: shared`)
    t.equal(passesPlainly(entry, 'thread'), inThread, `${what}: thread`)
  }
})

t.test('the slower plain run sets the time', async (t) => {
  t.equal(
    plainMs({
      plain: [
        { ok: true, ms: 10 },
        { ok: true, ms: 40 },
      ],
    }),
    40,
  )
})

t.test('of two baselines the entry with more runs stays, of equal ones the second', async (t) => {
  const first = { files: { a: { plain: [passed, passed] }, b: { plain: [passed] }, d: { plain: [passed] } } }
  const second = {
    files: {
      a: { plain: [passed] },
      b: { plain: [passed], thread: { ok: true } },
      c: { plain: [failed] },
      d: { plain: [failed] },
    },
  }
  t.same(mergeBaselines(first, second).files, {
    a: { plain: [passed, passed] },
    b: { plain: [passed], thread: { ok: true } },
    c: { plain: [failed] },
    d: { plain: [failed] },
  })
})
