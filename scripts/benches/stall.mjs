// What the watch for stalls costs an idle herd, and how fast and how rightly it names who holds the loop.
import { join } from 'node:path'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { readActivity } from '../../dist/measure/activity.js'
import { readAuxv } from '../../dist/procfs/auxv.js'
import { createHerdFiles } from './lib/herd-files.mjs'
import { startByre } from './lib/hosts.mjs'
import { sleep, withHost } from './lib/lanes.mjs'
import { memoryOf } from './lib/memory.mjs'
import { buildResult, claim, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

/** Within two minutes of ready V8 has collected what the start left and compiled what got hot, with all its threads, in each
 *  herd at moments of its own: some 200 wake-ups, once. What comes later is counted. */
const REST_MS = 150_000
const WINDOW_MS = 120_000
const BLOCK_MS = 2500
const TIMEOUT_MS = 60_000

export const describe = 'stalls: memory and wake-ups of the watch, time until the worker is named'
export const table = tableOf

export async function run(options) {
  const idle = await idleLanes(options)
  const named = []
  for (let i = 1; i <= options.runs; i++) named.push(await nameAll(options, i))
  const over = (metric) => differenceOf('watched over not watched', metric, idle.on, idle.off)
  const memory = over('anonBytes')
  const wakeUps = over('wakeUpsPerSecondCount')
  const limit = Number(/^v(\d+)/.exec(options.nodeVersion)[1]) <= 20 ? 9_000_000 : 15_000_000
  const figures = figuresOf('naming', named)
  const worst = (pattern) =>
    figures.filter((f) => pattern.test(f.metric)).reduce((a, b) => (b.median > a.median ? b : a))
  const right = figures.find((f) => f.metric === 'rightCount')
  return buildResult('stall', options, {
    settings: {
      workers: 18,
      restMs: REST_MS,
      windowMs: WINDOW_MS,
      blockMs: BLOCK_MS,
      kinds: Object.keys(ACTS),
    },
    figures: [
      ...figuresOf('not watched', idle.off),
      ...figuresOf('watched', idle.on),
      memory,
      over('anonLaterBytes'),
      wakeUps,
      ...figures,
    ],
    claims: [
      claim('private memory of the watch', memory, limit),
      claim('wake-ups of the watch a second', wakeUps, 4),
      claim('workers named rightly', right, Object.keys(ACTS).length, 'at least'),
      claim('named after the begin of the block, JavaScript', worst(/^js.*Ms$/), 1500),
      claim('confirmed after native code came back', worst(/ConfirmedMs$/), 100),
    ],
  })
}

/** The same 18 dormant workers with and without, all herds side by side: they do nothing, and what befalls the machine
 *  befalls all of them. */
async function idleLanes(options) {
  const auxv = readAuxv()
  if (!auxv.ok) throw new Error(`Cannot read ${auxv.path}: ${auxv.reason}`)
  options.note(
    `${options.runs} idle herds with and ${options.runs} without, ${(REST_MS + WINDOW_MS) / 1000} s`,
  )
  const lane = (detect) =>
    Promise.all(
      Array.from({ length: options.runs }, () => idleHerd(options, detect, auxv.value.ticksPerSecond)),
    )
  const [off, on] = await Promise.all([lane(false), lane(true)])
  return { off, on }
}

async function idleHerd(options, detect, ticksPerSecond) {
  const herd = createHerdFiles({ count: 18, kind: 'dormant' })
  const config = JSON.parse(readFileSync(herd.config, 'utf8'))
  writeFileSync(herd.config, JSON.stringify({ ...config, defaults: { stall: { detect } } }))
  try {
    return await withHost(
      () => startByre(options.node, herd),
      async (host) => {
        await sleep(options.settleMs)
        const { anonBytes } = memoryOf(host)
        await sleep(Math.max(0, REST_MS - options.settleMs))
        const before = activityOf(host, ticksPerSecond)
        await sleep(WINDOW_MS)
        const after = activityOf(host, ticksPerSecond)
        return {
          anonBytes,
          anonLaterBytes: memoryOf(host).anonBytes,
          wakeUpsPerSecondCount: (after.voluntarySwitches - before.voluntarySwitches) / (WINDOW_MS / 1000),
          cpuMs: after.cpuMs - before.cpuMs,
          threadsCount: after.threads,
        }
      },
    )
  } finally {
    herd.remove()
  }
}

function activityOf(host, ticksPerSecond) {
  const activity = readActivity(host.pid, ticksPerSecond)
  if (!activity.ok) throw new Error(`${host.label}: ${activity.path} is ${activity.reason}`)
  return activity.value
}

/** Every way of holding the loop; each worker does one of them after the other has ended. */
const UNTIL = `const end = Date.now() + ${BLOCK_MS}; `
const ACTS = {
  jsLoop: `export const block = () => { ${UNTIL}while (Date.now() < end); }`,
  jsRegex: `export const block = () => { ${UNTIL}while (Date.now() < end) /^(a+)+$/.test('a'.repeat(25) + 'b') }`,
  jsSort: `export const block = () => { ${UNTIL}while (Date.now() < end) Array.from({ length: 1e6 }, Math.random).sort((x, y) => x - y) }`,
  jsMicrotasks: `export const block = async () => { ${UNTIL}while (Date.now() < end) await null }`,
  jsDependency: `import { grind } from 'grinder'\nexport const block = () => grind(${BLOCK_MS})`,
  jsSharedTimer: `import { later } from './ticker.mjs'\nexport const block = () => new Promise((done) => later(() => { ${UNTIL}while (Date.now() < end); done() }))`,
  nativeJson: `const text = '[' + ('"' + 'x\\\\u0041'.repeat(20) + '",').repeat(1.4e6) + '1]'\nexport const block = () => { JSON.parse(text) }`,
  nativeCrypto: `import { pbkdf2Sync } from 'node:crypto'\nexport const block = () => { pbkdf2Sync('a', 'b', 4e6, 64, 'sha1') }`,
  nativeFs: `import { readFileSync } from 'node:fs'\nimport { execFileSync, spawn } from 'node:child_process'\nexport const block = () => {\n  const fifo = process.env.XDG_RUNTIME_DIR + '/fifo'\n  execFileSync('mkfifo', [fifo])\n  spawn('sh', ['-c', 'sleep 2.5; echo x > ' + fifo])\n  readFileSync(fifo)\n}`,
  nativeExec: `import { execSync } from 'node:child_process'\nexport const block = () => { execSync('sleep 2.5') }`,
}

/** 200 MB are parsed within about a second. */
const AFTER = { nativeJson: '300ms' }

async function nameAll(options, round) {
  const values = { rightCount: 0 }
  for (const [name, source] of Object.entries(ACTS)) {
    options.note(`run ${round}/${options.runs}, ${name}`)
    const seen = await nameOne(options, name, source)
    if (seen.worker === name) values.rightCount++
    if (name.startsWith('js')) values[`${name}NamedMs`] = seen.namedMs
    else values[`${name}ConfirmedMs`] = seen.confirmedMs
  }
  return values
}

async function nameOne(options, name, source) {
  const herd = createBlocker(name, source)
  try {
    return await withHost(
      () => startByre(options.node, herd),
      async (host) => {
        const line = (match) => waitForLine(host, match)
        const begun = await line((l) => l.event === 'block')
        const stall = await line((l) => l.event === 'stall')
        const native = stall.kind === 'native'
        const confirmed = native ? await line((l) => l.event === 'stall-confirmed') : stall
        const ended = await line((l) => l.event === 'unblock')
        return {
          worker: confirmed.worker,
          namedMs: stall.time - begun.at,
          confirmedMs: Math.max(0, confirmed.time - ended.at),
        }
      },
    )
  } finally {
    herd.remove()
  }
}

function createBlocker(name, source) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-bench-'))
  const write = (path, text) => {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  write('node_modules/grinder/package.json', '{"name":"grinder","type":"module","exports":"./index.mjs"}')
  write(
    'node_modules/grinder/index.mjs',
    'export function grind(ms) { const end = Date.now() + ms; while (Date.now() < end); }',
  )
  write(
    'ticker.mjs',
    'const waiting = []\nsetInterval(() => { for (const fn of waiting.splice(0)) fn() }, 20).unref()\nexport const later = (fn) => waiting.push(fn)',
  )
  write(
    'sibling.mjs',
    `import './ticker.mjs'\nexport async function run(ctx) { ctx.every(50, () => {}); await new Promise((done) => ctx.signal.addEventListener('abort', done)) }`,
  )
  write(
    `${name}.mjs`,
    `${source}
export async function run(ctx) {
  await new Promise((done) => setTimeout(done, 1500))
  ctx.log.info({ event: 'block', at: Date.now() }, 'block')
  await new Promise((done) => setTimeout(done, 1))
  await block()
  ctx.log.info({ event: 'unblock', at: Date.now() }, 'unblock')
  await new Promise((done) => ctx.signal.addEventListener('abort', done))
}`,
  )
  const workers = {
    sibling: { module: './sibling.mjs' },
    [name]: { module: `./${name}.mjs`, after: ['sibling'], stall: { after: AFTER[name] ?? '1s' } },
  }
  const config = join(folder, 'byre.config.json')
  writeFileSync(config, JSON.stringify({ name: 'bench', workers }))
  return {
    folder,
    config,
    socket: join(folder, 'bench.sock'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

async function waitForLine(host, matches) {
  for (const endAt = Date.now() + TIMEOUT_MS; Date.now() < endAt; await sleep(20)) {
    const found = host.output.map(parse).find((line) => line !== undefined && matches(line))
    if (found !== undefined) return found
  }
  throw new Error(`waited ${TIMEOUT_MS} ms. Last lines:\n${host.output.slice(-20).join('\n')}`)
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
