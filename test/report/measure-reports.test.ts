// A measurement as a comment, for Prometheus, and as a summary: the same figures in each.
import t from 'tap'
import { measureMarkdown } from '../../src/report/measure-markdown.ts'
import { measurePrometheus } from '../../src/report/measure-prometheus.ts'
import { measureText } from '../../src/report/measure-text.ts'
import { measurementOf, runOf, stageOf } from '../measure/results.ts'

const stages = { stages: [stageOf('types', 300), stageOf('bundle', 100)], drivingStage: 'types' }
const cold = runOf('npm run a', 1, 500, { phase: 'cold', ...stages })
const warm = [1, 2, 3].map((n) => runOf('npm run a', n, 400 + n, stages))
const killed = runOf('npm run b', 1, 0, {
  ok: false,
  outcome: { kind: 'killed', signal: 'SIGKILL' },
  metrics: {},
  output: { bytes: 5, unloggedBytes: 0, lastLines: 'no room\n' },
})
const result = measurementOf([cold, ...warm, killed], {
  label: 'build|<b>',
  ok: false,
  ceiling: { metric: 'peakBytes', limitBytes: 450e6, broken: ['npm run a, cold'] },
})

t.test('the comment has one table per phase, then the stages, and failed lanes in their row', async (t) => {
  const text = measureMarkdown(result)
  const rows = text.split('\n')
  t.equal(rows[0], '### Memory: build\\|&lt;b>', 'foreign text is escaped')
  t.match(
    rows.find((row) => row.startsWith('| cold ')),
    '| peak | anon | PSS | wall ± σ |',
  )
  t.match(
    rows.find((row) => row.startsWith('| warm ')),
    '| faults min/maj |',
  )
  const lanes = rows.filter((row) => row.startsWith('| npm run'))
  t.match(lanes, [
    /^\| npm run a \| 1\/1 \| 500\.0 MB \| not measured \| 500\.0 MB \| 1\.00 s ± 0 ms \|/,
    /^\| npm run a \| 3\/3 \| 402\.0 MB \(401\.0-403\.0, MAD 1\.0 MB, n = 3\)/,
    /^\| npm run b \| 0\/1 \| no output captured \(killed by SIGKILL\) \|/,
  ])
  const width = (row: string): number => row.split('|').length
  for (const lane of lanes) t.equal(width(lane), width(rows.find((row) => row.startsWith('| warm '))!), lane)
  t.match(
    text,
    '| types | 300.0 MB (300.0-300.0, MAD 0.0 KB, n = 3) | 500 ms | 250 ms | drives the peak (3) |',
  )
  t.match(text, 'Ceiling 450.0 MB on peakBytes: **broken**')
})

t.test(
  'Prometheus output has medians in base units, escaped labels, and only measured figures',
  async (t) => {
    const text = measurePrometheus({ ...result, label: 'a"b\\c\nd' })
    const lines = text.split('\n').filter((line) => line !== '')
    t.ok(text.endsWith('\n'))
    for (const line of lines)
      t.match(
        line,
        /^(# (HELP|TYPE) byre_measure_\w+ .+|byre_measure_\w+\{(\w+="([^"\\\n]|\\["\\n])*",?)+\} -?[\d.e+]+)$/,
      )
    const label = 'label="a\\"b\\\\c\\nd"'
    const has = (line: string): void => void t.ok(lines.includes(line), line)
    has(`byre_measure_peak_bytes{${label},lane="npm run a",phase="warm"} 402000000`)
    has(`byre_measure_wall_seconds{${label},lane="npm run a",phase="warm"} 1.002`)
    has(`byre_measure_stage_peak_pss_bytes{${label},lane="npm run a",phase="cold",stage="types"} 300000000`)
    has(`byre_measure_runs{${label},lane="npm run b",phase="warm"} 0`)
    has(`byre_measure_ok{${label}} 0`)
    t.notOk(lines.some((line) => line.startsWith('byre_measure_peak_bytes') && line.includes('npm run b')))
    t.notMatch(text, 'byre_measure_anon_bytes')
    const named = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2])
    t.equal(new Set(named).size, named.length, 'each name is declared once')
  },
)

t.test('the summary lists failures, and the error bound of a torn reading', async (t) => {
  const torn = runOf('npm run a', 1, 400, { notes: ['the highest PSS may be off by 30.0 MB'] })
  const text = measureText(measurementOf([torn, killed], { ok: false }))
  t.match(text, 'note: the highest PSS may be off by 30.0 MB')
  t.match(text, /no output captured\n +run 1: killed by SIGKILL\n +\| no room/)
})
