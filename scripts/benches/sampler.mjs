// The outside sampler against a second program that reads /proc by itself: CPU ratio and RSS of process placements that
// idle, compute for a fifth, for half and for all of their time.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const BIN = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const TRUTH = fileURLToPath(new URL('lib/proc-truth.pl', import.meta.url))
const SHARES = { idle: 0, fifth: 20, half: 50, full: 100 }
const INTERVAL_MS = 2000
const SAMPLES = 5
/** Below it the ticks of 10 ms, and not the sampler, decide the ratio: the difference is given in ratio, not in percent. */
const SMALL_RATIO = 0.1
/** The second program reads every 20 ms. A sample that it has no reading this near to, because it did not get the CPU, is
 *  left out and counted. */
const NEAR_MS = 40
const TRIES_MAX = 200

const WORKER = `
export async function run(ctx) {
  const kept = Array.from({ length: 40 }, () => Buffer.alloc(1e6, 1))
  const share = ctx.config
  while (!ctx.signal.aborted) {
    for (const until = performance.now() + share; performance.now() < until; ) ;
    await new Promise((resolve) => setTimeout(resolve, 100 - share))
  }
  return kept.length
}
`

export const describe = 'outside sampler: CPU ratio and RSS against a second program'
export const table = tableOf

export async function run(options) {
  const off = []
  for (let i = 1; i <= options.runs; i++) {
    options.note(`run ${i}/${options.runs}`)
    off.push(await oneRun(options.node))
  }
  const figures = figuresOf('worst sample of the run', off)
  const of = (metric) => figures.find((figure) => figure.metric === metric)
  return buildResult('sampler', options, {
    settings: { intervalMs: INTERVAL_MS, samples: SAMPLES, workers: Object.keys(SHARES) },
    figures,
    claims: [
      claim('CPU ratio off the truth, busy workers, %', of('cpuOffPercentCount'), 5),
      claim('CPU ratio off the truth, idle worker', of('idleCpuOffRatioCount'), 0.05),
      claim('RSS off the truth, %', of('rssOffPercentCount'), 5),
    ],
  })
}

async function oneRun(node) {
  const folder = mkdtempSync('/tmp/bs-')
  const herd = await startHerd(node, folder)
  try {
    const first = await status(herd.socket)
    const truth = watch(first.workers.map(({ pid }) => pid))
    try {
      return await compare(herd.socket, truth)
    } finally {
      truth.end()
    }
  } finally {
    await herd.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function compare(socket, truth) {
  const beganAt = Date.now()
  const seen = new Set()
  const off = { cpuOffPercentCount: 0, idleCpuOffRatioCount: 0, rssOffPercentCount: 0, leftOutCount: 0 }
  while (seen.size - off.leftOutCount < SAMPLES * Object.keys(SHARES).length) {
    if (seen.size > TRIES_MAX)
      throw new Error(`the second program was late for ${off.leftOutCount} samples of ${seen.size}`)
    for (const { name, pid, sample } of (await status(socket)).workers) {
      if (sample?.at === undefined || sample.at - sample.cpuWindowMs < beganAt + 200) continue
      const key = `${name} ${sample.at}`
      if (seen.has(key)) continue
      seen.add(key)
      await new Promise((resolve) => setTimeout(resolve, 60)) // the second program's reading after it
      const known = truth.between(pid, sample.at - sample.cpuWindowMs, sample.at)
      if (known === undefined) off.leftOutCount++
      else note(off, name, sample, known)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return off
}

function note(off, name, sample, truth) {
  const cpuOff = Math.abs(sample.cpuRatio - truth.ratio)
  if (truth.ratio < SMALL_RATIO) off.idleCpuOffRatioCount = Math.max(off.idleCpuOffRatioCount, cpuOff)
  else off.cpuOffPercentCount = Math.max(off.cpuOffPercentCount, (100 * cpuOff) / truth.ratio)
  const rssOff = 100 * Math.abs(sample.rssBytes / truth.rssBytes - 1)
  off.rssOffPercentCount = Math.max(off.rssOffPercentCount, rssOff)
}

/** The second program's word on `pids`. */
function watch(pids) {
  const child = spawn('perl', [TRUTH, '20', ...pids.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let ticksPerSecond
  const points = new Map(pids.map((pid) => [pid, []]))
  createInterface(child.stdout).on('line', (line) => {
    const values = line.split(' ').map(Number)
    if (values.length === 1) ticksPerSecond = values[0]
    else points.get(values[1])?.push({ at: values[0], ticks: values[2], rssBytes: values[3] * 1024 })
  })
  const nearest = (pid, at) =>
    points.get(pid).reduce((best, one) => (Math.abs(one.at - at) < Math.abs(best.at - at) ? one : best))
  return {
    between(pid, fromAt, toAt) {
      const [from, to] = [nearest(pid, fromAt), nearest(pid, toAt)]
      if (Math.abs(from.at - fromAt) > NEAR_MS || Math.abs(to.at - toAt) > NEAR_MS) return undefined
      const ratio = (to.ticks - from.ticks) / ticksPerSecond / ((to.at - from.at) / 1000)
      return { ratio, rssBytes: to.rssBytes }
    },
    end: () => child.kill(),
  }
}

async function startHerd(node, folder) {
  mkdirSync(join(folder, 'run'), { mode: 0o700 })
  writeFileSync(join(folder, 'w.mjs'), WORKER)
  const workers = Object.entries(SHARES).map(([name, share]) => [
    name,
    { module: './w.mjs', placement: 'process', config: share },
  ])
  const config = {
    name: 's',
    sampler: { interval: `${INTERVAL_MS}ms` },
    workers: Object.fromEntries(workers),
  }
  writeFileSync(join(folder, 'byre.config.json'), JSON.stringify(config))
  const env = [`RUNTIME_DIRECTORY=${join(folder, 'run')}`, `STATE_DIRECTORY=${join(folder, 'state')}`]
  const child = spawn(
    '/usr/bin/env',
    ['-i', `PATH=${process.env.PATH}`, ...env, node, BIN, 'supervise', '--log-format', 'json'],
    { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = new Promise((resolve) => child.once('exit', resolve))
  await new Promise((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => line.includes('"event":"ready"') && resolve())
    void exited.then(() => reject(new Error('the herd ended before it was ready')))
  })
  return {
    socket: join(folder, 'run/s/_all.sock'),
    async stop() {
      child.kill('SIGTERM')
      await exited
    },
  }
}

function status(socketPath) {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: '/workers', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve(JSON.parse(text)))
    })
    sent.on('error', reject)
    sent.end()
  })
}
