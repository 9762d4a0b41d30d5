// A real build of three stages (types, bundle, tests), measured cold and warm, twice unchanged, and the two compared.
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compare } from '../../../build/src/measure/compare.js'
import { seriesOf } from '../../../build/src/measure/series-summary.js'

const SHOP = fileURLToPath(new URL('../fixtures/shop', import.meta.url))
const MODULES = fileURLToPath(new URL('../../../node_modules', import.meta.url))
const BYRE = fileURLToPath(new URL('../../../dist/bin.js', import.meta.url))
const CLEAN_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** {verdict, drives: ['cold: types in 5 of 5', ...], runs: {cold: [...], warm: [...]}}; `folder` is emptied by the caller. */
export function buildTwice({ node, runs, note }, folder) {
  const project = join(folder, 'shop')
  cpSync(SHOP, project, { recursive: true })
  symlinkSync(MODULES, join(project, 'node_modules'))
  const [before, after] = ['before', 'after'].map((label) => {
    note(`build, ${label}: ${runs} cold and ${runs} warm runs`)
    return measureBuild(node, runs, project, label)
  })
  const { verdict, rows } = compare(before, after)
  const series = seriesOf(before)
  return {
    verdict,
    rows: rows.map(({ phase, stage, metric, differenceRatio, verdict: one }) => ({
      phase,
      stage,
      metric,
      differenceRatio,
      verdict: one,
    })),
    drives: series.map(({ phase, stages, good }) => {
      const [top] = stages.toSorted((a, b) => b.drives - a.drives)
      return `${phase}: stage ${top.name} drives the peak in ${top.drives} of ${good.length} runs`
    }),
    runs: Object.fromEntries(
      series.map(({ phase, good }) => [
        phase,
        good.map(({ metrics: { peakBytes, anonBytes, pssBytes, wallMs } }) => ({
          peakBytes,
          anonBytes,
          pssBytes,
          wallMs,
        })),
      ]),
    ),
  }
}

function measureBuild(node, runs, project, label) {
  const args = [
    '--label',
    label,
    '--runs',
    String(Math.max(5, runs)),
    '--phases',
    'cold,warm',
    '--prepare',
    `'${node}' build.mjs clean`,
  ]
  const verify = ['--verify', 'dist/main.js', '--verify-json', 'dist/done.json:ok', '--size', 'dist=dist']
  const html = ['--html', join(project, `${label}.html`)]
  const command = [node, BYRE, 'measure', '--json-only', ...args, ...verify, ...html, '--', node, 'build.mjs']
  const done = spawnSync('/usr/bin/env', ['-i', `PATH=${CLEAN_PATH}`, ...command], {
    cwd: project,
    encoding: 'utf8',
    maxBuffer: 64e6,
  })
  if (done.status !== 0)
    throw new Error(
      `the build was not measured (${done.status}): ${done.stderr}${done.stdout.slice(0, 2000)}`,
    )
  return JSON.parse(readFileSync(join(project, `.byre/measure/result-${label}.json`), 'utf8'))
}
