import t from 'tap'
import { gateAnnotations, gateMarkdown, gateText, diffText } from '../../src/report/audit-gate.ts'
import { chromeTrace, speedscope } from '../../src/report/audit-profile.ts'
import { auditText } from '../../src/report/audit-text.ts'
import type { Verdict } from '../../src/audit/gate.ts'
import { resultOf } from '../audit/results.ts'

const chain = [{ label: 'src/a,b.js', line: 3 }, { label: 'orm/index.js' }]
const verdict: Verdict = {
  entry: 'main.js',
  nodeMajor: '24',
  phase: 'load',
  findings: [
    { rule: 'not-allowed', packageName: 'orm', retainedBytes: 7e6, chain },
    { rule: 'stale-allow', packageName: 'gone' },
  ],
  notes: ['the floor is 100 KiB below its budget'],
}

t.test('the terminal report fits its width and prints no prediction as a saving', async (t) => {
  for (const width of [60, 100, 200]) {
    const lines = auditText(resultOf(), { width }).split('\n')
    const table = lines.slice(lines.findIndex((l) => l.startsWith('PACKAGE')))
    for (const line of table.slice(0, 5)) t.ok(line.length <= width, `${width}: ${line}`)
  }
  const text = auditText(resultOf())
  t.match(text, '97.0 % attributed')
  t.match(text, /7\.4 MB proven in 2 runs \(predicted 7\.3 MB\) +main\.js:1 -> orm\/index\.js/)
  t.match(text, /not proven {2}main\.js -> late\/index\.js: the program threw/)
  t.notMatch(text, '\x1b', 'no colour')
  t.match(
    auditText({ ...resultOf(), partial: 'interrupted after 1 of 2 proofs', warnings: ['w'] }),
    /INCOMPLETE.*\nnote: w/,
  )
})

t.test('answers name the cut, its alternatives and the chain that remains', async (t) => {
  const [saving] = resultOf().savings
  const text = auditText({
    ...resultOf(),
    answers: [
      {
        kind: 'cut',
        question: 'orm',
        saving: { ...saving!, alternatives: [[{ from: 'x.js', to: 'y.js' }]] },
        complete: false,
      },
      {
        kind: 'what-if',
        question: 'a -> b',
        saving: { ...saving!, proof: { kind: 'not-run' } },
        stillReachedBy: chain,
      },
      { kind: 'no-cut', question: 'z', reason: 'it is not reached', chain: [] },
    ],
  })
  t.match(text, /CUT orm: 1 import to make lazy, 7\.4 MB proven/)
  t.match(text, '  or: x.js -> y.js')
  t.match(text, 'and more cuts of this size')
  t.match(text, 'not proven yet')
  t.match(text, 'still reached: src/a,b.js:3 -> orm/index.js')
  t.match(text, 'CUT z: none, it is not reached')
})

t.test('annotations contain file and line, and all text in them is escaped', async (t) => {
  const [first, second] = gateAnnotations([{ ...verdict, entry: 'a\n::b' }])
    .trim()
    .split('\n')
  t.match(first, '::error file=src/a%2Cb.js,line=3,title=byre audit%3A not-allowed::a%0A::b: orm (7.0 MB)')
  t.match(second, '::error title=byre audit%3A stale-allow::')
  t.equal(gateAnnotations([{ ...verdict, findings: [] }]), '')
})

t.test('a comment escapes Markdown', async (t) => {
  const text = gateMarkdown([{ ...verdict, entry: '<script>|' }], [resultOf()], [undefined])
  t.match(text, '### Import floor: a rule is broken')
  t.match(text, '**\\<script\\>\\|**')
  t.match(gateText([{ ...verdict, findings: [] }]), 'main.js on Node 24: floor kept')
  const diff = {
    calibratedBytes: { before: 1e6, after: 3e6 },
    packages: [{ name: 'orm', change: 'added', selfBytesBefore: 0, selfBytesAfter: 2e6 }],
    modulesAdded: 4,
    modulesRemoved: 1,
  } as const
  t.match(diffText(diff), /floor 1\.0 MB to 3\.0 MB \(2\.0 MB\), 4 modules more, 1 fewer\n {2}added {4}orm/)
})

t.test('speedscope: one weight per sample, existing frames, the sum of the retained bytes', async (t) => {
  const file = JSON.parse(speedscope(resultOf()))
  const [profile] = file.profiles
  t.equal(file.$schema, 'https://www.speedscope.app/file-format-schema.json')
  t.equal(profile.samples.length, profile.weights.length)
  t.equal(profile.endValue, resultOf().modules[0]!.retainedBytes)
  for (const sample of profile.samples) for (const frame of sample) t.ok(frame < file.shared.frames.length)
  t.same(profile.samples[2], [0, 1, 2, 3], 'the driver is below the orm')
})

t.test('trace events nest: every module is inside its dominator', async (t) => {
  const { traceEvents } = JSON.parse(chromeTrace(resultOf()))
  const of = (name: string) => traceEvents.find((e: { name: string }) => e.name === name)
  const [outer, inner] = [of('orm/index.js'), of('driver/index.js')]
  t.ok(inner.ts >= outer.ts && inner.ts + inner.dur <= outer.ts + outer.dur)
  t.equal(of('(program)').dur, resultOf().modules[0]!.retainedBytes)
})

t.test('trace events are in time order, the outer first, and none has length 0', async (t) => {
  const result = resultOf()
  const empty = { ...result.modules[1]!, label: 'empty.js', selfBytes: 0, retainedBytes: 0, dominator: 1 }
  const { traceEvents } = JSON.parse(chromeTrace({ ...result, modules: [...result.modules, empty] }))
  const open: { end: number }[] = []
  for (const { name, ts, dur } of traceEvents as { name: string; ts: number; dur: number }[]) {
    t.ok(dur > 0, name)
    while (open.length > 0 && open.at(-1)!.end <= ts) open.pop()
    t.ok(open.length === 0 || ts + dur <= open.at(-1)!.end, `${name} ends inside the open event`)
    open.push({ end: ts + dur })
  }
})

t.test('the page contains its data, and no module name can become markup', async (t) => {
  const { auditHtml } = await import('../../src/report/audit-html.ts')
  const evil = '</script><img src=x onerror=alert(1)>'
  const base = resultOf()
  const page = auditHtml({ ...base, entries: [{ ...base.entries[0]!, name: evil }], warnings: [evil] })
  t.notMatch(page, '<img')
  const json = /id="data">(.*?)<\/script>/s.exec(page)?.[1]
  t.equal(JSON.parse(json!).warnings[0], evil)
  t.notMatch(page, /(?:src|href)="?https?:/, 'nothing is loaded from elsewhere')
  t.match(page, "default-src 'none'")
})

t.test('the schema names every key of a result', async (t) => {
  const { readFileSync } = await import('node:fs')
  const schema = JSON.parse(
    readFileSync(new URL('../../../schema/audit.schema.json', import.meta.url), 'utf8'),
  )
  for (const key of Object.keys(resultOf())) t.ok(key in schema.properties, key)
  for (const key of schema.required) t.ok(key in resultOf(), key)
  for (const key of schema.properties.parts.required) t.ok(key in resultOf().parts, key)
  for (const key of schema.properties.instrument.required) t.ok(key in resultOf().instrument, key)
  for (const key of schema.properties.modules.items.required) t.ok(key in resultOf().modules[0]!, key)
})
