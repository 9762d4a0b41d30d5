import t from 'tap'
import { SampleSeries, TIMELINE_LIMIT } from '../../src/measure/sample-series.ts'
import type { SampledProcess } from '../../src/measure/sample-series.ts'

const p = (pid: number, stage: string, megabytes: number, cpuMs = 0): SampledProcess => ({
  pid,
  name: 'p',
  command: `p ${pid}`,
  stage,
  pssBytes: megabytes * 1e6,
  ussBytes: megabytes * 1e6,
  rssBytes: megabytes * 2e6,
  anonBytes: megabytes * 1e6,
  cpuMs,
  startTicks: pid,
})

t.test(
  'the stage with the largest share of the peak drives it, not the stage with the highest own peak',
  async (t) => {
    const series = new SampleSeries()
    series.add({ atMs: 0, processes: [p(1, 'a', 100)] })
    series.add({ atMs: 100, processes: [p(1, 'a', 60), p(2, 'b', 90)] })
    series.add({ atMs: 200, processes: [p(2, 'b', 10)] })
    const result = series.finish(300)
    t.equal(result.pssBytes, 150e6)
    t.equal(result.drivingStage, 'b')
    t.match(result.stages, [
      { name: 'a', peakPssBytes: 100e6, atPeakPssBytes: 60e6, wallMs: 200 },
      { name: 'b', peakPssBytes: 90e6, atPeakPssBytes: 90e6, wallMs: 200 },
    ])
    t.same(
      result.topProcesses.map((one) => one.pid),
      [2, 1],
    )
  },
)

t.test('CPU time counts once per process, and from zero for a reused pid', async (t) => {
  const series = new SampleSeries()
  series.add({ atMs: 0, processes: [p(1, 'a', 1, 10)] })
  series.add({ atMs: 100, processes: [p(1, 'a', 1, 30)] })
  series.add({ atMs: 200, processes: [{ ...p(1, 'a', 1, 5), startTicks: 99 }] })
  t.equal(series.finish(300).stages[0]!.cpuMs, 35)
})

t.test('a timeline stays bounded and keeps the peak', async (t) => {
  const series = new SampleSeries()
  for (let i = 0; i < TIMELINE_LIMIT * 5; i++)
    series.add({ atMs: i * 10, processes: [p(1, 'a', i === 1234 ? 999 : 5)] })
  const { timeline } = series.finish(1e6)
  t.ok(timeline.atMs.length <= TIMELINE_LIMIT, String(timeline.atMs.length))
  t.equal(Math.max(...timeline.stages['a']!), 999e6)
  t.ok(timeline.atMs.includes(12340))
})

t.test('the parts of a timeline add up, by stage and by process', async (t) => {
  const series = new SampleSeries()
  const many = Array.from({ length: 30 }, (_, i) => p(i + 1, i % 2 === 0 ? 'a' : 'b', i + 1))
  series.add({ atMs: 0, processes: many })
  const { stages, processes } = series.finish(1).timeline
  const sum = (groups: Readonly<Record<string, readonly number[]>>): number =>
    Object.values(groups).reduce((total, values) => total + values[0]!, 0)
  t.equal(sum(stages), 465e6)
  t.equal(sum(processes), 465e6)
})

t.test('without samples there are no figures', async (t) => {
  const result = new SampleSeries().finish(5)
  t.equal(result.pssBytes, undefined)
  t.same(result.stages, [])
})

t.test('a torn reading does not replace one with a higher lower bound', async (t) => {
  const series = new SampleSeries()
  series.add({ atMs: 0, processes: [p(1, 'a', 500)] })
  series.add({ atMs: 100, processes: [p(1, 'a', 400), p(2, 'b', 350)], uncertainBytes: 300e6 })
  const whole = series.finish(200)
  t.match(whole, { pssBytes: 500e6, ussBytes: 500e6, pssUncertainBytes: 0, drivingStage: 'a' })
  t.equal(whole.stages[0]!.peakPssBytes, 500e6)
  series.add({ atMs: 200, processes: [p(1, 'a', 900)], uncertainBytes: 50e6 })
  t.match(series.finish(300), { pssBytes: 900e6, pssUncertainBytes: 50e6 }, 'but its lower bound counts')
})

t.test(
  'when every reading is torn, the one with the highest lower bound counts, with its error',
  async (t) => {
    const series = new SampleSeries()
    series.add({ atMs: 0, processes: [p(1, 'a', 700)], uncertainBytes: 900e6 })
    series.add({ atMs: 100, processes: [p(1, 'a', 450)], uncertainBytes: 100e6 })
    t.match(series.finish(200), { pssBytes: 450e6, pssUncertainBytes: 100e6 })
  },
)
