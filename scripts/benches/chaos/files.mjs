// The herd of the chaos bench: 100 victims and a clerk that feeds and counts.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const COUNT = 100
export const NAMES = Array.from({ length: COUNT }, (_, i) => `w${String(i + 1).padStart(3, '0')}`)
export const PROCESSES = new Set(NAMES.filter((_, i) => i % 5 === 4))

/** Each run counts what it missed between the first number it saw and the last, and tells with each tenth. */
const VICTIM = `
const faults = {
  throw: () => setTimeout(() => { throw new Error('chaos') }, 1),
  stall: (ms) => { for (const end = performance.now() + ms; performance.now() < end;); },
  oom: () => { const kept = []; for (;;) kept.push(new Array(100_000).fill(kept.length + 0.5)) },
}
export async function run(ctx) {
  let last
  let missed = 0
  let received = 0
  const feed = ctx.bus.subscribe('feed.' + ctx.name, { signal: ctx.signal })
  const orders = ctx.bus.subscribe('fault.' + ctx.name, { signal: ctx.signal })
  void (async () => {
    for await (const { payload } of orders) faults[payload.kind](payload.ms)
  })()
  for await (const { payload } of feed) {
    if (last !== undefined) missed += payload.n - last - 1
    last = payload.n
    received++
    if (received % 10 === 0) await ctx.bus.publish('count.' + ctx.name, { missed, received })
  }
}
`

/** Numbers for everybody; faults, pace and census for the bench, one JSON line each. Counts of runs that ended are kept. */
const CLERK = `
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
export async function run(ctx) {
  const { names, socket } = ctx.config
  const census = Object.fromEntries(names.map((name) => [name, { missed: 0, received: 0, now: { missed: 0, received: 0 } }]))
  const counts = ctx.bus.subscribe('count.*', { signal: ctx.signal, buffer: 100_000 })
  void (async () => {
    for await (const { topic, payload } of counts) {
      const one = census[topic.slice('count.'.length)]
      if (payload.received < one.now.received) { one.missed += one.now.missed; one.received += one.now.received }
      one.now = payload
    }
  })()
  let n = 0
  let stop
  const feed = (everyMs) => {
    stop?.()
    stop = ctx.every(everyMs, async () => {
      n++
      for (const name of names) await ctx.bus.publish('feed.' + name, { n })
    }, { jitter: 0 })
  }
  feed(100)
  const server = createServer((client) => {
    createInterface(client).on('line', async (line) => {
      const { op, name, kind, ms, everyMs } = JSON.parse(line)
      if (op === 'pace') feed(everyMs)
      if (op === 'fault') await ctx.bus.publish('fault.' + name, { kind, ms })
      const answer = op !== 'census' ? true : Object.fromEntries(Object.entries(census).map(([key, one]) =>
        [key, { missed: one.missed + one.now.missed, received: one.received + one.now.received }]))
      client.write(JSON.stringify(answer) + '\\n')
    })
  }).listen(socket)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  server.close()
}
`

export function createChaosFiles() {
  const folder = mkdtempSync(join(tmpdir(), 'byre-chaos-'))
  const clerkSocket = join(folder, 'clerk.sock')
  const victim = join(folder, 'victim.mjs')
  const workers = {
    clerk: { module: join(folder, 'clerk.mjs'), after: NAMES, config: { names: NAMES, socket: clerkSocket } },
  }
  writeFileSync(victim, VICTIM)
  writeFileSync(join(folder, 'clerk.mjs'), CLERK)
  for (const name of NAMES) {
    // In the shared loop each has an instance of its own.
    const module = PROCESSES.has(name) ? victim : join(folder, `${name}.mjs`)
    if (module !== victim) writeFileSync(module, VICTIM)
    workers[name] = { module, ...(PROCESSES.has(name) ? { placement: 'process', memoryMax: '64MiB' } : {}) }
  }
  const config = join(folder, 'byre.config.json')
  const defaults = {
    limit: { failures: 1000, within: '1h' },
    backoff: { base: '100ms', max: '500ms' },
    stall: { detect: false },
  }
  writeFileSync(config, JSON.stringify({ name: 'chaos', defaults, workers }))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  return { folder, config, socket: join(folder, 'chaos.sock'), clerkSocket, remove }
}
