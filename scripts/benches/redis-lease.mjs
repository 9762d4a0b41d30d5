// Two supervisors of one leased worker, and faults on whichever holds the lease: kill -9, SIGSTOP, a cut network. A checker
// stands for the protected resource: what it accepted never has a fence below one it had seen, and how long two ran at once.
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'
import { startServer } from './lib/redis-server.mjs'
import { sleep } from './lib/lanes.mjs'
import { buildResult, claim, figuresOf, tableOf } from './lib/result.mjs'

const BYRE = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const TTL_MS = 1000
const ROUNDS = Number(process.env.BYRE_LEASE_ROUNDS ?? 200)
const FAULTS = ['kill', 'pause', 'cut']
const WORKER = `import { connect } from 'node:net'
export const run = ({ signal, fence, env }) => new Promise((resolve) => {
  const socket = connect(env.RESOURCE)
  socket.on('error', () => {})
  const timer = setInterval(() => socket.write(JSON.stringify({ fence, who: env.WHO }) + '\\n'), 5)
  signal.addEventListener('abort', () => { clearInterval(timer); socket.destroy(); resolve() })
})`

export const describe = `${ROUNDS} rounds of kill -9, SIGSTOP and partition on the holder of a lease`
export const table = tableOf

export async function run(options) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-lease-'))
  const server = await startServer()
  const resource = await openResource(join(folder, 'resource'))
  const hosts = {}
  try {
    for (const who of ['a', 'b'])
      hosts[who] = await openHost(options.node, folder, who, server.port, resource.path)
    const rounds = []
    for (let n = 0; n < ROUNDS; n++) {
      rounds.push(await round(FAULTS[n % 3], hosts, resource))
      if (n % 20 === 19)
        options.note(`${n + 1} rounds, longest overlap ${resource.longestMs().toFixed(0)} ms`)
    }
    return report(options, rounds, resource)
  } finally {
    for (const host of Object.values(hosts)) await host.close()
    await resource.close()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

function report(options, rounds, resource) {
  const figures = {}
  for (const fault of FAULTS) {
    const own = rounds.filter((one) => one.fault === fault)
    const values = own.map(({ takeoverMs, overlapMs }) => ({ takeoverMs, overlapMs }))
    figures[fault] = figuresOf(WORDS[fault], values)
  }
  const checked = figuresOf('the protected resource', [
    {
      acceptedCount: resource.accepted(),
      refusedCount: resource.refused(),
      acceptedBelowSeenCount: resource.violations(),
    },
  ])
  const slowest = figuresOf('all', [{ takeoverMs: Math.max(...rounds.map((one) => one.takeoverMs)) }])[0]
  const longest = (fault) => figuresOf(WORDS[fault], [{ overlapMs: figures[fault][1].max }])[0]
  return buildResult(
    'redis-lease',
    { ...options, runs: rounds.length },
    {
      settings: { ttlMs: TTL_MS, rounds: rounds.length },
      figures: [...Object.values(figures).flat(), ...checked],
      claims: [
        claim('accepted with a fence below one seen', checked[2], 0),
        claim('slowest takeover', slowest, TTL_MS + 1000),
        claim('longest overlap after kill -9', longest('kill'), 0),
        claim('longest overlap after a partition', longest('cut'), 0),
      ],
      notes: [
        `longest overlap after SIGSTOP ${figures.pause[1].max.toFixed(1)} ms; documented: from the end of the pause to the abort, a turn of the loop later`,
      ],
    },
  )
}

const WORDS = { kill: 'kill -9 of the holder', pause: 'SIGSTOP of the holder', cut: 'its network cut' }

async function round(fault, hosts, resource) {
  const holder = await resource.holder()
  const host = hosts[holder.who]
  const before = holder.fence
  const since = performance.now()
  if (fault === 'kill') await host.kill()
  else if (fault === 'pause') host.signal('SIGSTOP')
  else host.cut(true)
  const next = await resource.above(before)
  const takeoverMs = next.at - since
  await sleep(100)
  if (fault === 'kill') await host.start()
  else if (fault === 'pause') host.signal('SIGCONT')
  else host.cut(false)
  await sleep(300)
  return { fault, takeoverMs, overlapMs: resource.overlapOf(before) }
}

/** Accepts a fence that is not below the highest it has seen, and remembers when each was first and last used. */
async function openResource(path) {
  const fences = new Map()
  let highest = 0
  let accepted = 0
  let refused = 0
  let violations = 0
  let lastAccepted = 0
  const waiting = new Set()
  const take = ({ fence, who }) => {
    const at = performance.now()
    const known = fences.get(fence)
    if (known === undefined) fences.set(fence, { who, first: at, last: at })
    else known.last = at
    if (known !== undefined && known.who !== who) violations++ // one fence, two holders
    if (fence < highest) return void refused++
    highest = fence
    accepted++
    if (fence < lastAccepted) violations++
    lastAccepted = fence
    for (const check of waiting) check(at)
  }
  const server = createServer((socket) => {
    socket.on('error', () => {})
    createInterface({ input: socket }).on('line', (line) => take(JSON.parse(line)))
  }).listen(path)
  await once(server, 'listening')
  const above = (fence) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nobody took over from ${fence} within 30 s`)), 30_000)
      const check = (at) => {
        if (highest <= fence) return
        clearTimeout(timer)
        waiting.delete(check)
        resolve({ at, fence: highest, who: fences.get(highest).who })
      }
      waiting.add(check)
    })
  /** How long `fence` was still used after a higher one had begun. */
  const overlapOf = (fence) => {
    const used = fences.get(fence)
    const later = [...fences].filter(([other]) => other > fence).map(([, { first }]) => first)
    return used === undefined || later.length === 0 ? 0 : Math.max(0, used.last - Math.min(...later))
  }
  return {
    path,
    above,
    overlapOf,
    holder: () => above(highest - 1),
    longestMs: () => Math.max(0, ...[...fences.keys()].map(overlapOf)),
    accepted: () => accepted,
    refused: () => refused,
    violations: () => violations,
    close: () => new Promise((resolve) => server.close(resolve)),
  }
}

/** A supervise process whose way to Redis can be cut. */
async function openHost(node, root, who, redisPort, resource) {
  const folder = join(root, who)
  mkdirSync(folder)
  const pairs = new Set()
  let isCut = false
  const proxy = createServer((near) => {
    const far = connect(redisPort, '127.0.0.1')
    const pair = [near, far]
    pairs.add(pair)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      from.on('data', (chunk) => void (isCut || to.write(chunk))) // cut: swallowed, as a network does
      from.on('error', () => {})
      from.on('close', () => {
        pairs.delete(pair)
        to.destroy()
      })
    }
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  writeFileSync(join(folder, 'worker.mjs'), WORKER)
  writeFileSync(
    join(folder, 'byre.config.json'),
    JSON.stringify({
      name: 'lease',
      bus: `redis://127.0.0.1:${proxy.address().port}`,
      workers: {
        once: {
          module: './worker.mjs',
          lease: { ttl: `${TTL_MS}ms` },
          env: { RESOURCE: resource, WHO: who },
        },
      },
    }),
  )
  let child
  // each with no memory of the last: a kill in the worker's own code would make it suspect
  const start = async () => {
    child = spawnClean(
      [node, BYRE, 'supervise', '--config', join(folder, 'byre.config.json'), '--log-format', 'json'],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: { RUNTIME_DIRECTORY: join(folder, 'run'), STATE_DIRECTORY: mkdtempSync(join(folder, 'state-')) },
      },
    )
  }
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  await start()
  return {
    start,
    kill,
    signal: (signal) => child.kill(signal),
    cut(on) {
      isCut = on
      // what was swallowed is missing in the stream: like a network that comes back, these connections do not
      if (!on) for (const pair of pairs) for (const socket of pair) socket.destroy()
    },
    async close() {
      child.kill('SIGCONT')
      await kill()
      for (const pair of pairs) for (const socket of pair) socket.destroy()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}
