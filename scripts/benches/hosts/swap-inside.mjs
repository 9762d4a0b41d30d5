// The inner part of swap.mjs: runs under a real systemd as root, does the swaps, and prints what it saw as one line of JSON.
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startWorld } from '../../../demo/world.mjs'
import { MALLOC_ENV, V8_FLAGS } from '../lib/flags.mjs'
import { createHerdFiles } from '../lib/herd-files.mjs'
import { jobsAcrossSwap } from './swap-jobs.mjs'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
const BYRE = `${ROOT}/units/byre`
const DIR = '/srv/demo'
const UNITS = '/etc/systemd/system'
const KILLER = '/opt/killer'
const NODE_PATH = `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`
const WORK_MS = 120_000
/** The first calls of systemctl only look: a swap that is killed at them has not begun. */
const LOOKS = 2
const options = JSON.parse(process.argv[2])

const note = (text) => void process.stderr.write(`${text}\n`)
const call = promisify(execFile)
/** stdout, stderr and the code of a command; never rejects for a code. */
async function run(command, args, env = {}) {
  try {
    const done = await call(command, args, { env: { PATH: NODE_PATH, ...env }, maxBuffer: 64 << 20 })
    return { code: 0, ...done }
  } catch (error) {
    return { code: error.code ?? 1, stdout: error.stdout ?? '', stderr: error.stderr ?? String(error) }
  }
}
async function must(command, ...args) {
  const done = await run(command, args)
  if (done.code !== 0)
    throw new Error(`${command} ${args.join(' ')}: ${done.code} ${done.stdout}${done.stderr}`)
  return done.stdout
}
const property = async (unit, name) => (await must('systemctl', 'show', '--value', '-p', name, unit)).trim()

async function main() {
  const world = await startWorld({ dir: DIR, feeds: ['main'] })
  const config = writeDemo(world.url)
  const { workers: all } = (await import(config)).default
  const workers = Object.keys(all)
  await must(BYRE, 'units', '--config', config, '--user', 'root', '--out', UNITS)
  await must('systemctl', 'daemon-reload')
  const single = workers.map((worker) => `byre-demo@${worker}.service`)
  await must('systemctl', 'start', ...single)
  note(`${single.length} units are up`)

  const swaps = []
  for (let i = 1; i <= options.runs; i++) {
    await sleep(options.settleMs)
    world.feed(40, 2) // 20 s of orders, on both sides of the swap
    const dry = ['swap', '--config', config, '--to', 'supervised', '--dry-run', '--json']
    const { projected } = JSON.parse(await must(BYRE, ...dry))
    const there = await swap(config, 'supervised', options.settleMs)
    swaps.push({ ...there.outcome, saved: there.saved, projected })
    note(`run ${i}: saved ${there.saved.pssPercent} % of PSS`)
    await swap(config, 'individual', 1000)
  }
  const unfinished = await finish(world)
  note(unfinished.length === 0 ? 'all work was done' : unfinished.join('; '))
  const kills = await killedSwaps(config, single)
  await must('systemctl', 'stop', 'byre-demo-main.service', ...single)
  const state = await property('byre-demo-main.service', 'ActiveState')
  if (state !== 'inactive') throw new Error(`after systemctl stop the unit is ${state}`)
  await world.close()
  const boots = await boot(options.runs)
  const jobs = await jobsAcrossSwap({ must, swap, byre: BYRE, units: UNITS })
  note(`jobs of a stream: ${JSON.stringify(jobs)}`)
  const [systemd] = (await must('systemctl', '--version')).split('\n')
  process.stdout.write(
    `${JSON.stringify({ workers: workers.length, systemd, swaps, unfinished, kills, boots, jobs })}\n`,
  )
}

/** The demo's own config and its group `main`, with what its units must allow. */
function writeDemo(url) {
  const config = `${DIR}/byre.config.mjs`
  writeFileSync(
    config,
    `process.env.DEMO_DIR = ${JSON.stringify(DIR)}
process.env.DEMO_RECEIVER = ${JSON.stringify(url)}
const { default: herd } = await import(${JSON.stringify(`${ROOT}/demo/byre.config.js`)})
const main = Object.entries(herd.workers).filter(([, worker]) => worker.group === undefined)
const needs = { network: 'full', paths: [${JSON.stringify(DIR)}] }
const workers = main.map(([name, worker]) => [name, { ...worker, module: new URL(worker.module, ${JSON.stringify(`file://${ROOT}/demo/`)}).pathname, needs }])
export default { ...herd, groups: { main: {} }, workers: Object.fromEntries(workers) }
`,
  )
  return config
}

async function swap(config, to, healthMs) {
  const { code, stdout, stderr } = await run(BYRE, [
    'swap',
    '--config',
    config,
    '--to',
    to,
    '--health',
    `${healthMs}ms`,
    '--json',
  ])
  if (code !== 0) throw new Error(`swap to ${to}: ${code} ${stdout}${stderr}`)
  return JSON.parse(stdout)
}

/** What is still to be done once the time is over; each line is a job that was lost. */
async function finish(world) {
  const deadline = Date.now() + WORK_MS
  while (Date.now() < deadline) {
    if (world.fed() && world.unfinished('main').length === 0) return []
    await sleep(200)
  }
  return world.unfinished('main')
}

/** systemctl that kills who called it, before or after its n-th call. */
function writeKiller(n, when) {
  mkdirSync(KILLER, { recursive: true })
  writeFileSync(`${KILLER}/calls`, '0\n')
  const kill = (moment) => `[ "$calls ${when}" != "${n} ${moment}" ] || kill -9 $PPID`
  writeFileSync(
    `${KILLER}/systemctl`,
    `#!/bin/sh
calls=$(($(cat ${KILLER}/calls) + 1))
echo $calls >${KILLER}/calls
${kill('before')}
[ "$calls ${when}" != "${n} before" ] || exit 1
/usr/bin/systemctl "$@"
code=$?
${kill('after')}
exit $code
`,
    { mode: 0o755 },
  )
}

/** 20 and more swaps to and fro; in each direction the next call of systemctl is the one at which the swapper dies. */
async function killedSwaps(config, single) {
  const kills = []
  const calls = await countCalls(config)
  const next = { supervised: 0, individual: 0 }
  let to = 'supervised'
  for (let i = 1; i <= options.kills; i++) {
    const when = i % 2 === 0 ? 'before' : 'after'
    const n = LOOKS + 1 + (next[to]++ % (calls[to] - LOOKS))
    writeKiller(n, when)
    const killed = await swapWithKiller(config, to)
    const { code, stdout, stderr } = await run(BYRE, ['swap', '--config', config, '--resume'])
    if (code !== 0) throw new Error(`resume: ${code} ${stdout}${stderr}`)
    const side = await runningSide(single)
    const resumed = killed.code === 0 ? 'not killed' : stdout.trim().split(': ').at(-1)
    kills.push({ to, call: n, of: calls[to], when, killed: killed.code !== 0, resumed, side })
    note(`swap ${i} to ${to}, killed ${when} call ${n} of ${calls[to]}: ${resumed}; runs: ${side}`)
    to = side === 'supervised' ? 'individual' : 'supervised'
  }
  return kills
}

function swapWithKiller(config, to) {
  const env = { PATH: `${KILLER}:${NODE_PATH}` }
  return run(BYRE, ['swap', '--config', config, '--to', to, '--health', '100ms'], env)
}

/** Of systemctl, in a swap that nobody kills, there and back. */
async function countCalls(config) {
  const calls = {}
  for (const to of ['supervised', 'individual']) {
    writeKiller(0, 'before')
    const { code, stderr } = await swapWithKiller(config, to)
    if (code !== 0) throw new Error(`swap to ${to}: ${code} ${stderr}`)
    calls[to] = Number(readFileSync(`${KILLER}/calls`, 'utf8'))
  }
  return calls
}

async function runningSide(single) {
  const group = await property('byre-demo-main.service', 'ActiveState')
  const states = await Promise.all(single.map((unit) => property(unit, 'ActiveState')))
  if (group === 'active' && states.every((state) => state !== 'active')) return 'supervised'
  if (group !== 'active' && states.every((state) => state === 'active')) return 'individual'
  return 'neither'
}

/** From the start of the unit's process to READY, and to the same line of the hand-written host; 18 ORM workers each. */
async function boot(runs) {
  const herd = createHerdFiles({ count: 18, kind: 'orm' })
  await must(BYRE, 'units', '--config', herd.config, '--user', 'root', '--out', UNITS)
  const byHand = ['node', ...V8_FLAGS, `${ROOT}/scripts/benches/hosts/by-hand.mjs`, herd.config].join(' ')
  const env = Object.entries(MALLOC_ENV).map(([name, value]) => `Environment=${name}=${value}\n`)
  writeFileSync(
    `${UNITS}/by-hand.service`,
    `[Service]\nType=simple\nEnvironment=PATH=${NODE_PATH}\n${env.join('')}ExecStart=/usr/bin/env ${byHand}\n`,
  )
  await must('systemctl', 'daemon-reload')
  const boots = []
  for (let i = 0; i < runs; i++) {
    const byHandMs = await bootByHand()
    const unit = 'byre-bench-default.service'
    await must('systemctl', 'start', unit)
    const [from, to] = await Promise.all([
      property(unit, 'ExecMainStartTimestampMonotonic'),
      property(unit, 'ActiveEnterTimestampMonotonic'),
    ])
    await must('systemctl', 'stop', unit)
    boots.push({ byHandMs, byreMs: (to - from) / 1000 })
  }
  herd.remove()
  return boots
}

async function bootByHand() {
  await must('systemctl', 'start', 'by-hand.service')
  const from = Number(await property('by-hand.service', 'ExecMainStartTimestampMonotonic'))
  const deadline = Date.now() + WORK_MS
  for (;;) {
    const lines = (await must('journalctl', '--no-pager', '-o', 'json', '-u', 'by-hand.service'))
      .split('\n')
      .filter(Boolean)
    const ready = lines
      .map((line) => JSON.parse(line))
      .filter(
        (entry) =>
          String(entry.MESSAGE).includes('"event":"ready"') && Number(entry.__MONOTONIC_TIMESTAMP) > from,
      )
    if (ready.length > 0) {
      await must('systemctl', 'stop', 'by-hand.service')
      return (Number(ready[0].__MONOTONIC_TIMESTAMP) - from) / 1000
    }
    if (Date.now() > deadline) throw new Error('the hand-written host was not ready')
    await sleep(50)
  }
}

await main().finally(() => rmSync(KILLER, { recursive: true, force: true }))
process.exit(0)
