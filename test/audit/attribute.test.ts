import t from 'tap'
import { attribute } from '../../src/audit/attribute.ts'
import { EVENT } from '../../src/audit/child/job.ts'
import { parseTrace, type Trace } from '../../src/audit/trace.ts'

type Step = readonly [type: keyof typeof EVENT, name: string | undefined, raw: number, settled?: number]

function traceOf(steps: readonly Step[], more: Partial<Trace> = {}): Trace {
  return {
    events: steps.map(([type, name, rawBytes, settledBytes]) => ({
      type: EVENT[type],
      name,
      rawBytes,
      settledBytes,
    })),
    edges: [],
    facades: new Set(),
    esModules: new Set(),
    ...more,
  }
}

t.test('what appears inside a module is its own, what its child allocates is the child’s', async (t) => {
  const result = attribute(
    traceOf([
      ['sample', undefined, 1000, 1000],
      ['enterCjs', 'a', 1000, 1000],
      ['enterCjs', 'b', 1100, 1100],
      ['exitCjs', 'b', 1600, 1600],
      ['exitCjs', 'a', 1630, 1630],
      ['sample', undefined, 1640, 1640],
    ]),
  )
  t.same(
    [...result.selfBytes],
    [
      ['a', 130],
      ['b', 500],
    ],
  )
  t.equal(result.loaderBytes, 10)
  t.equal(result.totalBytes, 640)
  t.same(result.overlapping, [])
})

t.test('a stretch that shrank in the collection is shared by what each allocated in it', async (t) => {
  const result = attribute(
    traceOf([
      ['sample', undefined, 0, 0],
      ['enterCjs', 'a', 0],
      ['enterCjs', 'b', 300],
      ['exitCjs', 'b', 400],
      ['exitCjs', 'a', 400, 100],
    ]),
  )
  t.same(
    [...result.selfBytes],
    [
      ['a', 75],
      ['b', 25],
    ],
  )
})

t.test('what outlived a collection of the young weighs, not what was allocated', async (t) => {
  const result = attribute(
    traceOf([
      ['sample', undefined, 0, 0],
      ['enterCjs', 'compiles', 0],
      // 900 were allocated, 100 of them live; then 300, all of them live.
      ['young', undefined, 900, 100],
      ['exitCjs', 'compiles', 100],
      ['enterCjs', 'holds', 100],
      ['young', undefined, 400, 400],
      ['exitCjs', 'holds', 400, 400],
    ]),
  )
  t.same(
    [...result.selfBytes],
    [
      ['compiles', 100],
      ['holds', 300],
    ],
  )
})

t.test('what linking leaves is shared by the modules loaded since the last link', async (t) => {
  const result = attribute(
    traceOf(
      [
        ['sample', undefined, 0, 0],
        ['load', 'a', 0, 0],
        ['load', 'b', 100, 100],
        ['loadEnd', undefined, 400, 400],
        ['link', undefined, 400, 400],
        ['linkEnd', undefined, 480, 480],
        ['sample', undefined, 480, 480],
      ],
      { esModules: new Set(['a', 'b']) },
    ),
  )
  t.same(
    [...result.selfBytes],
    [
      ['a', 120],
      ['b', 360],
    ],
  )
  t.equal(result.loaderBytes, 0)
})

t.test('a buffer that is given back while the loader works is taken from what loading left', async (t) => {
  const result = attribute(
    traceOf([
      ['sample', undefined, 0, 0],
      ['load', 'a', 0, 0],
      ['loadEnd', undefined, 400, 400],
      ['sample', undefined, 300, 300],
      ['sample', undefined, 300, 300],
    ]),
  )
  t.same([...result.selfBytes], [['a', 300]])
  t.equal(result.loaderBytes, 0)
})

t.test('overlapping top-level awaits are detected', async (t) => {
  const { overlapping } = attribute(
    traceOf([
      ['sample', undefined, 0, 0],
      ['enterEsm', 'a', 0],
      ['enterEsm', 'b', 10],
      ['exitEsm', 'a', 20],
      ['exitEsm', 'b', 30, 30],
    ]),
  )
  t.same(overlapping.toSorted(), ['a', 'b'])
})

t.test('a trace is what follows the last restart, and a torn one is refused', async (t) => {
  const records = [
    [EVENT.edgeRequire, 0, 1, 2],
    [0, 0, 0, 0],
    [EVENT.sample, -1, 5, 5],
    [EVENT.module, 7, 1, 0],
    [EVENT.enterEsm, 7, 6, -1],
    [EVENT.edgeImport, 1, 0, -1],
  ]
  const bytes = new Uint8Array(Float64Array.from(records.flat()).buffer)
  const trace = parseTrace(bytes, 'a\nb\n./b\n')
  t.same(trace.edges, [{ kind: 'import', from: 'b', to: 'a', specifier: undefined }])
  t.same(
    trace.events.map((e) => [e.type, e.name]),
    [
      [EVENT.sample, undefined],
      [EVENT.enterEsm, 'b'],
    ],
  )
  t.throws(() => parseTrace(bytes.subarray(1), ''), { code: 'BYRE_INTERNAL' })
  t.same(attribute(parseTrace(new Uint8Array(), '')).totalBytes, 0)
})
