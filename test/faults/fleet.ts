// 17 healthy siblings and what they share with a faulty worker: written as modules into the folder of a herd, asked
// through a Unix socket that one of them, the clerk, serves.
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { readLines, WAIT_MS } from '../helpers/events.ts'
import type { Herd } from '../helpers/herd.ts'

/** Period of every sibling's tick, ms. */
const TICK_MS = 50

const SIBLINGS: readonly string[] = Array.from({ length: 16 }, (_, i) => `s${String(i + 1).padStart(2, '0')}`)
/** Serves clerk.sock, ticks and answers like the others. */
const CLERK = 'clerk'
export const HEALTHY: readonly string[] = [CLERK, ...SIBLINGS]

/** Modules the workers of one herd share; s01 loads them all before any faulty worker does. */
export const SHARED_FILES: Readonly<Record<string, string>> = {
  // Counters of the siblings. Gaps are measured since the last 'reset'.
  'lib/book.mjs': `
export const book = {}
export function open(name) {
  const entry = (book[name] ??= { runs: 0, ticks: 0, maxGapMs: 0, pokes: 0 })
  entry.runs++
  entry.at = performance.now()
  return () => {
    const now = performance.now()
    entry.ticks++
    entry.maxGapMs = Math.max(entry.maxGapMs, now - entry.at)
    entry.at = now
  }
}
export function reset() {
  const now = performance.now()
  for (const entry of Object.values(book)) Object.assign(entry, { ticks: 0, maxGapMs: 0, at: now })
}
`,
  // What a faulty worker waits for, and what it does when it has done its worst.
  'lib/go.mjs': `
export async function go(ctx) {
  if (ctx.env.GO === 'now') return
  for await (const message of ctx.bus.subscribe('go.' + ctx.name, { signal: ctx.signal })) return message.payload
  throw ctx.signal.reason
}
export async function stopped(ctx) {
  if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve, { once: true }))
}
export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
`,
  'lib/emitter.mjs': `
import { EventEmitter } from 'node:events'
export const emitter = new EventEmitter()
export const target = new EventTarget()
globalThis.commonEmitter = new EventEmitter()
`,
  // Like a client library: made by whoever loads it first, its callbacks run in the context of its own socket and timer.
  'lib/client.mjs': `
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
const waiting = { socket: [], timer: [], promise: [] }
const flush = (kind) => { for (const callback of waiting[kind].splice(0)) callback(null, kind) }
let socket
export async function open(path) {
  const server = createServer((peer) => peer.on('data', (data) => peer.write(data)))
  rmSync(path, { force: true })
  await new Promise((resolve) => server.listen(path, resolve))
  socket = connect(path)
  socket.on('data', () => flush('socket'))
  return () => { socket.destroy(); server.close() }
}
setInterval(() => flush('timer'), 20).unref()
export function send(callback) { waiting.socket.push(callback); socket.write('x') }
export function later(callback) { waiting.timer.push(callback) }
/** The caller of settle() is somebody else. */
export function promised(callback) { waiting.promise.push(callback) }
export function settle() { Promise.resolve().then(() => flush('promise')) }
`,
  'lib/sibling.mjs': `
import { open } from './book.mjs'
import { book } from './book.mjs'
import { stopped } from './go.mjs'
export function sibling(extra) {
  return async (ctx) => {
    ctx.every(${TICK_MS}, open(ctx.name), { jitter: 0 })
    const answer = async () => {
      for await (const ask of ctx.bus.subscribe('ask.' + ctx.name, { signal: ctx.signal }))
        await ask.reply({ name: ctx.name, seen: eval(ask.payload.see ?? 'null') ?? null })
    }
    const others = [answer(), extra?.(ctx)]
    await stopped(ctx)
    await Promise.allSettled(others)
  }
}
`,
}

const SIBLING = `
import { sibling } from '../lib/sibling.mjs'
export const run = sibling()
`

/** s01 made the shared emitter and client, and pokes them when asked: in its own context. */
const POKER = `
import { book } from '../lib/book.mjs'
import { emitter, target } from '../lib/emitter.mjs'
import * as client from '../lib/client.mjs'
import { sibling } from '../lib/sibling.mjs'
const pokes = {
  emitter: () => emitter.emit('ping', 1),
  global: () => globalThis.commonEmitter.emit('ping', 1),
  target: () => target.dispatchEvent(new Event('ping')),
  settle: () => client.settle(),
}
export const run = sibling(async (ctx) => {
  const close = await client.open(ctx.config.socket)
  for await (const { payload } of ctx.bus.subscribe('poke', { signal: ctx.signal })) {
    pokes[payload]()
    book[ctx.name].pokes++
  }
  close()
})
`

const CLERK_SOURCE = `
import { rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { book, reset } from '../lib/book.mjs'
import { sibling } from '../lib/sibling.mjs'
const loop = monitorEventLoopDelay({ resolution: 10 })
loop.enable()
const answers = {
  publish: async (ctx, { topic, payload, times = 1 }) => {
    for (let i = 0; i < times; i++) await ctx.bus.publish(topic, payload ?? null)
  },
  // The histogram notes nothing before its second interval after a reset; only then may gaps count.
  reset: async () => { loop.reset(); while (loop.count === 0) await new Promise((r) => setTimeout(r, 5)); reset() },
  census: async (ctx, { names, see }) => ({
    loopMaxMs: loop.max / 1e6,
    answered: await Promise.all(names.map((name) => ctx.bus.request('ask.' + name, see === undefined ? {} : { see }))),
    book,
  }),
}
export const run = sibling(async (ctx) => {
  const server = createServer(async (socket) => {
    try {
      for await (const line of createInterface(socket)) {
        const { op, ...rest } = JSON.parse(line)
        const value = await answers[op](ctx, rest).then((ok) => ({ ok: ok ?? null }), (error) => ({ error: String(error) }))
        socket.write(JSON.stringify(value) + '\\n')
      }
    } catch {}
  })
  rmSync(ctx.config.socket, { force: true })
  await new Promise((resolve) => server.listen(ctx.config.socket, resolve))
  ctx.signal.addEventListener('abort', () => server.close())
})
`

/** Sources of the 17, by name. */
export function healthyWorkers(): Record<string, string> {
  const plain = SIBLINGS.map((name) => [name, name === 's01' ? POKER : SIBLING] as const)
  return { [CLERK]: CLERK_SOURCE, ...Object.fromEntries(plain) }
}

/** Their config entries; `folder` as given to startHerd. */
export function healthyConfig(folder: string): Record<string, { config: { socket: string } }> {
  return {
    [CLERK]: { config: { socket: join(folder, 'clerk.sock') } },
    s01: { config: { socket: join(folder, 'client.sock') } },
  }
}

export interface Census {
  /** Longest delay of the loop since the last reset. */
  readonly loopMaxMs: number
  readonly answered: readonly { readonly name: string; readonly seen: unknown }[]
  readonly book: Readonly<Record<string, Entry>>
}
export interface Entry {
  readonly runs: number
  readonly ticks: number
  readonly maxGapMs: number
  readonly pokes: number
}

/** Loop delay excuses a gap; without it, two periods between two ticks are a missed tick. */
export function missedTicks(census: Census): string[] {
  const limitMs = 2 * TICK_MS + 2 * census.loopMaxMs
  return HEALTHY.filter((name) => (census.book[name]?.maxGapMs ?? Infinity) > limitMs).map(
    (name) =>
      `${name}: ${census.book[name]?.maxGapMs} ms between two ticks, the loop's longest delay ${census.loopMaxMs} ms`,
  )
}

/** Asks the clerk; who asks for the census has every sibling answer a request over the bus. */
export class Clerk {
  readonly #herd: Herd

  constructor(herd: Herd) {
    this.#herd = herd
  }

  async publish(topic: string, payload: unknown = null, times = 1): Promise<void> {
    await this.#ask({ op: 'publish', topic, payload, times })
  }

  /** Gaps and loop delay are measured from here on. */
  async reset(): Promise<void> {
    await this.#ask({ op: 'reset' })
  }

  /** `see`: an expression every sibling evaluates for its answer. */
  async census(see?: string): Promise<Census> {
    return (await this.#ask({ op: 'census', names: HEALTHY, see })) as Census
  }

  async #ask(question: object): Promise<unknown> {
    const socket = connect(join(this.#herd.folder, 'clerk.sock'))
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(WAIT_MS) })
      const lines = readLines(socket)
      socket.write(`${JSON.stringify(question)}\n`)
      const answer = JSON.parse(await lines.next()) as { ok?: unknown; error?: string }
      if (answer.error !== undefined) throw new Error(`the clerk failed: ${answer.error}`)
      return answer.ok
    } finally {
      socket.destroy()
    }
  }
}
