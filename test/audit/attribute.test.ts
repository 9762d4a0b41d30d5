import t from 'tap'
import { attribute } from '../../src/audit/attribute.ts'
import { EVENT } from '../../src/audit/child/job.ts'
import { parseTrace, type Trace } from '../../src/audit/trace.ts'

type Step = readonly [type: keyof typeof EVENT, name: string | undefined, raw: number, collected?: number]

function traceOf(steps: readonly Step[], more: Partial<Trace> = {}): Trace {
  return {
    events: steps.map(([type, name, rawBytes, collectedBytes]) => ({
      type: EVENT[type],
      name,
      rawBytes,
      collectedBytes,
    })),
    edges: [],
    wrappers: new Set(),
    esModules: new Set(),
    ...more,
  }
}

t.test('bytes are charged to the innermost module that is being evaluated', async (t) => {
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

t.test('bytes left after a collection are divided in proportion to what each module allocated', async (t) => {
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

t.test('bytes that survived a minor collection decide the shares, not allocated bytes', async (t) => {
  const result = attribute(
    traceOf([
      ['sample', undefined, 0, 0],
      ['enterCjs', 'compiles', 0],
      // 900 were allocated, 100 of them live; then 300, all of them live.
      ['minorGc', undefined, 900, 100],
      ['exitCjs', 'compiles', 100],
      ['enterCjs', 'holds', 100],
      ['minorGc', undefined, 400, 400],
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

t.test('bytes left by linking are divided among the modules loaded since the previous link', async (t) => {
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

t.test('a buffer freed during loader work is deducted from the bytes that loading left', async (t) => {
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

t.test('a trace begins after the last restart record, and a truncated one is refused', async (t) => {
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
