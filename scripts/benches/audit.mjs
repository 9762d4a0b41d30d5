// How true the auditor is, against leave-one-out: real packages, each alone and all in one program. Every edge that is
// predicted to save 1 MiB or more (at most 5 of one chain) is cut and run. Packages are installed once into a cache folder.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { selfTest } from '../../build/src/audit/audit.js'
import { cutEdges, gainedBytes } from '../../build/src/audit/confirm.js'
import { resolveAuditOptions } from '../../build/src/audit/options.js'
import { rankSavings } from '../../build/src/audit/savings.js'
import { openSession } from '../../build/src/audit/session.js'
import { quantile, summarize } from '../../build/src/measure/stats.js'
import { buildResult, claim, tableOf } from './lib/result.mjs'

const PACKAGES = [
  'typeorm@0.3.27',
  'sequelize@6',
  'mongoose@8',
  '@aws-sdk/client-s3@3',
  '@opentelemetry/sdk-node@0.205',
  'lodash@4',
  'rxjs@7',
  'express@5',
  'fastify@5',
  'pino@10',
  'ioredis@5',
  'undici@7',
  'zod@4',
  'ajv@8',
  'bullmq@5',
  'reflect-metadata@0.2',
]
const MIB = 1024 * 1024
const MAX_PER_CHAIN = 5
const REPEATS = 20

export const describe =
  'the import auditor against leave-one-out: share named, error of predictions, repeatability'
export const table = tableOf

export async function run(options) {
  const folder = installPackages()
  const names = PACKAGES.map((p) => p.replace(/(.)@.*/, '$1'))
  const programs = [
    ...names.map((name) => ({ name, imports: [name] })),
    { name: 'all in one', imports: names },
  ]
  const audit = resolveAuditOptions({
    entries: [],
    cwd: folder,
    nodePath: options.node,
    childTimeoutMs: 600_000,
  })
  const session = openSession(audit)
  const measured = []
  const startedAt = performance.now()
  try {
    const { nodeVersion } = await session.plain([])
    const wrong = await selfTest(session, nodeVersion)
    if (wrong.length > 0) throw new Error(`Cannot bench: the self-test failed: ${wrong.join('; ')}`)
    for (const { name, imports } of programs) {
      const entry = writeEntry(folder, name, imports)
      const one = await measureProgram(session, entry, nodeVersion)
      measured.push({ name, ...one })
      const errors = one.edges.map((e) => `${(100 * e.error).toFixed(1)} %`).join(' ')
      options.note(
        `${name}: ${(one.namedShare * 100).toFixed(1)} % named, ${one.edges.length} edges ${errors}`,
      )
    }
    const repeats = await repeatability(session, writeEntry(folder, 'typeorm', ['typeorm']))
    return resultOf(options, measured, repeats, performance.now() - startedAt)
  } finally {
    session.close()
  }
}

function installPackages() {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'byre-bench-audit')
  mkdirSync(folder, { recursive: true })
  if (!existsSync(join(folder, 'installed'))) {
    if (!existsSync(join(folder, 'package.json')))
      writeFileSync(join(folder, 'package.json'), '{"private":true}')
    const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error', ...PACKAGES]
    execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
    writeFileSync(join(folder, 'installed'), PACKAGES.join('\n'))
  }
  return folder
}

function writeEntry(folder, name, imports) {
  const file = join(folder, `entry-${name.replace(/\W+/g, '-')}.mjs`)
  writeFileSync(file, imports.map((i) => `import '${i}'\n`).join(''))
  return { url: pathToFileURL(file).href, how: 'import' }
}

async function measureProgram(session, entry, nodeVersion) {
  const bare = await session.bare([entry])
  const probed = await session.probed([entry], nodeVersion)
  for (const { error } of [bare, probed.result])
    if (error !== undefined) throw new Error(`${entry.url}: ${error}`)
  const { graph } = probed
  const floorBytes = gainedBytes(bare)
  const modulesBytes = graph.nodes.reduce((sum, n) => sum + n.selfBytes, 0)
  const named = modulesBytes + graph.loaderBytes
  const edges = []
  for (const saving of chooseEdges(graph)) {
    const cuts = cutEdges(graph, saving.edges, probed.result.exportNames ?? {})
    const result = await session.bare([entry], cuts)
    if (result.error !== undefined || result.cutsMet.length !== cuts.length) continue
    const provenBytes = floorBytes - gainedBytes(result)
    const offBytes = Math.abs(saving.predictedBytes - provenBytes)
    const [from, to] = [cuts[0].from, cuts[0].to].map((url) =>
      url.replace(/.*\/(?:node_modules\/|(?=entry-))/, ''),
    )
    edges.push({
      from,
      to,
      predictedBytes: saving.predictedBytes,
      provenBytes,
      offBytes,
      error: offBytes / Math.abs(provenBytes),
    })
  }
  const probedMs = probed.ms
  const instrumentBytes = gainedBytes(probed.result) - floorBytes
  const namedShare = 1 - Math.abs(floorBytes - named) / Math.abs(floorBytes)
  return { floorBytes, namedShare, probedMs, instrumentBytes, edges, modules: graph.nodes.length }
}

/** Single edges anywhere; edges that save within 3 % of each other are one chain. */
function chooseEdges(graph) {
  const chains = []
  return rankSavings(graph, { heavyBytes: MIB, everywhere: true })
    .filter((s) => s.edges.length === 1 && s.predictedBytes >= MIB)
    .filter((saving) => {
      const chain = chains.find((c) => Math.abs(c.bytes - saving.predictedBytes) < 0.03 * c.bytes)
      if (chain === undefined) chains.push({ bytes: saving.predictedBytes, count: 1 })
      else chain.count++
      return (chain?.count ?? 1) <= MAX_PER_CHAIN
    })
}

async function repeatability(session, entry) {
  const values = []
  for (let i = 0; i < REPEATS; i++) values.push(gainedBytes(await session.bare([entry])))
  return values
}

function resultOf(options, measured, repeats, totalMs) {
  const edges = measured.flatMap((m) => m.edges)
  const figure = (lane, metric, values) => ({ lane, metric, ...summarize(values), values })
  const one = (lane, metric, value) => figure(lane, metric, [value])
  const all = measured.at(-1)
  // Within 256 KiB counts as right, whatever the share.
  const errors = edges.map((e) => e.error)
  const p90 = one('edges', 'errorP90Ratio', quantile(errors, 0.9))
  const middle = one('edges', 'errorMedianRatio', quantile(errors, 0.5))
  const count = one('edges', 'provenCount', edges.length)
  const shares = figure(
    'programs',
    'namedRatio',
    measured.map((m) => m.namedShare),
  )
  const worst = one('programs', 'namedWorstRatio', shares.min)
  const spread = one('typeorm', 'spreadBytes', Math.max(...repeats) - Math.min(...repeats))
  return buildResult('audit', options, {
    settings: {
      packages: PACKAGES,
      edges,
      programs: measured.map((m) => ({ ...m, edges: m.edges.length })),
      totalMs: Math.round(totalMs),
    },
    figures: [
      count,
      middle,
      p90,
      figure(
        'edges',
        'offBytes',
        edges.map((e) => e.offBytes),
      ),
      shares,
      worst,
      figure(
        'programs',
        'instrumentBytes',
        measured.map((m) => m.instrumentBytes),
      ),
      one('all in one', 'probedMs', all.probedMs),
      spread,
    ],
    claims: [
      claim('edges of 1 MiB and more, proven', count, 40, 'at least'),
      claim('error of the prediction, median', middle, 0.03),
      claim('error of the prediction, p90', p90, 0.08),
      claim(
        'share of the floor named, all in one',
        one('all in one', 'namedRatio', all.namedShare),
        0.97,
        'at least',
      ),
      claim('calibrated floor of typeorm, spread of 20 runs', spread, 64 * 1024),
    ],
  })
}
