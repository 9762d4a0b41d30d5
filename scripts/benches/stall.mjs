// How fast and how rightly the watch for stalls names who holds the loop. What it costs: stall-cost.mjs.
import { join } from 'node:path'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { startByre } from './lib/hosts.mjs'
import { sleep, withHost } from './lib/lanes.mjs'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const BLOCK_MS = 2500
const TIMEOUT_MS = 60_000

export const describe = 'stalls: time until the worker is named'
export const table = tableOf

export async function run(options) {
  const named = []
  for (let i = 1; i <= options.runs; i++) named.push(await nameAll(options, i))
  const figures = figuresOf('naming', named)
  const worst = (pattern) =>
    figures.filter((f) => pattern.test(f.metric)).reduce((a, b) => (b.median > a.median ? b : a))
  const right = figures.find((f) => f.metric === 'rightCount')
  return buildResult('stall', options, {
    settings: { blockMs: BLOCK_MS, kinds: Object.keys(ACTS) },
    figures,
    claims: [
      claim(
        'workers named rightly, in each run',
        { ...right, median: right.min },
        Object.keys(ACTS).length,
        'at least',
      ),
      claim('named after the begin of the block, JavaScript', worst(/^js.*Ms$/), 1500),
      claim('confirmed after native code came back', worst(/ConfirmedMs$/), 100),
    ],
  })
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
