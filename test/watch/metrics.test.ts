// GET /metrics, /healthz, /readyz: the content of a scrape, and that promtool accepts it, the rules and the dashboard.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { Test } from 'tap'
import { renderMetrics } from '../../src/watch/metrics/metrics.ts'
import { PROCESS_METRICS } from '../../src/watch/metrics/process-metrics.ts'
import { WORKER_METRICS } from '../../src/watch/metrics/worker-metrics.ts'
import { readinessProblems } from '../../src/control/http-server.ts'
import type { SupervisorStatus, WorkerStatus } from '../../src/herd/status.ts'
import { supervisorStatus, worker } from '../control/fake-target.ts'

const MONITORING = resolve(dirname(fileURLToPath(import.meta.url)), '../../../monitoring')
const heap = {
  source: 'v8' as const,
  ageMs: 10,
  usedBytes: 5,
  totalBytes: 6,
  externalBytes: 7,
  limitBytes: 8,
}
const STATUS = supervisorStatus(
  [
    worker('web', {
      lease: { held: true },
      restarts: 2,
      queued: 3,
      busDropped: 4,
      ticksSkipped: 5,
      unclaimed: 6,
    }),
    worker('heavy', {
      placement: 'process',
      state: 'quarantined',
      failures: 3,
      failuresBy: { failed: 2, 'oom-heap': 1 },
      readyAt: 5000,
      load: { ms: 250, rssBytes: 1e6 },
      lastExit: { verdict: 'oom-heap', reason: 'r', evidence: {}, at: 7000 },
      sample: {
        at: 1,
        ageMs: 1500,
        cpuMs: 2500,
        cpuRatio: 0.5,
        rssBytes: 9e7,
        pssBytes: 8e7,
        anonBytes: 7e7,
        heap,
      },
    }),
  ],
  {
    phase: 'up',
    admission: { loading: 1, waiting: 2 },
    process: {
      rssBytes: 6e7,
      pssBytes: 5e7,
      anonBytes: 4e7,
      heapUsedBytes: 9e6,
      cpuRatio: 0.01,
      loopDelayP99Ms: 2,
    },
    bus: { kind: 'redis', connections: 2, up: true, gaps: 1, unsent: 0, rejected: 0, malformed: 0 },
  },
)

/** Runs promtool, or explains why it cannot. Returns its exit code and output. */
function promtool(t: Test, args: readonly string[], input?: string): string | undefined {
  try {
    return execFileSync('promtool', args, {
      encoding: 'utf8',
      cwd: MONITORING,
      input,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
  } catch (error) {
    const { code, stderr, stdout } = error as { code?: string; stderr?: string; stdout?: string }
    if (code !== 'ENOENT')
      throw new Error(`promtool ${args.join(' ')}: ${stderr ?? ''}${stdout ?? ''}`, { cause: error })
    t.pass('skipped: promtool is missing, install the Debian package prometheus', { skip: true })
    return undefined
  }
}

t.test('a scrape reports the status in base units', async (t) => {
  const text = await renderMetrics(STATUS, { refused: { 'foreign-host': 2 } })
  const where = 'herd="shop",group="batch"'
  for (const line of [
    `byre_worker_restarts_total{worker="web",${where}} 2`,
    `byre_worker_failures_total{worker="heavy",verdict="oom-heap",${where}} 1`,
    `byre_worker_state{worker="heavy",state="quarantined",placement="process",activation="eager",${where}} 1`,
    `byre_worker_cpu_ratio{worker="heavy",${where}} 0.5`,
    `byre_worker_cpu_seconds_total{worker="heavy",${where}} 2.5`,
    `byre_worker_sample_age_seconds{worker="heavy",${where}} 1.5`,
    `byre_worker_queued_messages{worker="web",${where}} 3`,
    `byre_worker_lease_held{worker="web",${where}} 1`,
    `byre_workers{state="running",${where}} 1`,
    `byre_workers{state="dormant",${where}} 0`,
    `byre_loop_delay_p99_seconds{${where}} 0.002`,
    `byre_bus_up{${where}} 1`,
    `byre_control_refused_total{kind="foreign-host",${where}} 2`,
  ])
    t.ok(text.split('\n').includes(line), line)
  t.notMatch(text, /resident_memory_bytes\{worker="web"/, 'a worker of the shared loop cannot be measured')
})

t.test('every metric has a series when everything is measured, and none when nothing is', async (t) => {
  const text = await renderMetrics(STATUS, { refused: {} })
  for (const { name } of [...PROCESS_METRICS, ...WORKER_METRICS])
    t.match(text, new RegExp(`^${name}[{ ]`, 'm'), name)
  const empty = await renderMetrics(supervisorStatus([worker('web')]), { refused: {} })
  for (const name of [
    'byre_worker_cpu_ratio',
    'byre_bus_up',
    'byre_loop_delay_p99_seconds',
    'byre_control_refused_total',
  ])
    t.notMatch(empty, new RegExp(name), `${name}: not even its help`)
  t.notMatch(empty, /NaN|undefined/)
})

t.test('nothing of an earlier scrape remains', async (t) => {
  await renderMetrics(STATUS, { refused: {} })
  const later = await renderMetrics(supervisorStatus([worker('web')]), { refused: {} })
  t.notMatch(later, /heavy/)
})

t.test('promtool accepts the text without remarks', async (t) => {
  promtool(t, ['check', 'metrics'], await renderMetrics(STATUS, { refused: { 'too-slow': 1 } }))
})

t.test('the alert rules are valid and fire when they should', async (t) => {
  promtool(t, ['check', 'rules', 'byre.rules.yml'])
  promtool(t, ['test', 'rules', 'byre.rules.test.yml'])
})

t.test('rules and dashboard use existing metrics in expressions that Prometheus parses', async (t) => {
  const known = new Set([...PROCESS_METRICS, ...WORKER_METRICS].map(({ name }) => name))
  const dashboard = JSON.parse(readFileSync(join(MONITORING, 'byre.dashboard.json'), 'utf8')) as {
    panels: { title: string; targets: { expr: string }[] }[]
  }
  const exprs = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr))
  const rules = readFileSync(join(MONITORING, 'byre.rules.yml'), 'utf8')
  for (const name of `${exprs.join('\n')}\n${rules}`.match(/\bbyre_[a-z0-9_]+/g) ?? [])
    t.ok(known.has(name), name)
  t.ok(exprs.length >= 12)
  const folder = mkdtempSync('/tmp/bm-')
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const plain = exprs.map((expr) =>
    expr.replaceAll('$__rate_interval', '5m').replace(/\$(herd|group)/g, '.*'),
  )
  const entries = plain.map((expr, i) => `  - record: panel:${i}\n    expr: ${JSON.stringify(expr)}`)
  writeFileSync(join(folder, 'panels.yml'), `groups:\n- name: panels\n  rules:\n${entries.join('\n')}\n`)
  promtool(t, ['check', 'rules', join(folder, 'panels.yml')])
})

t.test('ready means up, not draining, and every critical worker running or dormant', async (t) => {
  const problems = (
    phase: NonNullable<SupervisorStatus['phase']>,
    of: Partial<WorkerStatus> = {},
  ): string[] => readinessProblems(supervisorStatus([worker('a', of)], { phase }))
  t.same(problems('up'), [])
  t.match(problems('starting'), [/starting/])
  t.match(problems('draining'), [/draining/])
  const broken = { state: 'backing-off' as const }
  t.same(problems('up', broken), [], 'an ordinary worker may fail')
  t.same(problems('up', { ...broken, critical: true }), ['critical worker a is backing-off'])
})
