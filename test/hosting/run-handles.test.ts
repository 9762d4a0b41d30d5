// What a run opens ends with it, also what a package opens for it: after a restart each thing is there once, and after a stop not
// at all. A handle that a sibling uses stays.
import t from 'tap'
import { herdFolder, startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { leakGuard } from '../helpers/leak-guard.ts'

leakGuard(t)

/** Ways to do something again and again; each calls `beat()` for it and never ends by itself. The sibling provides the causes. */
const KINDS: Readonly<Record<string, string>> = {
  interval: `setInterval(beat, 20)`,
  'timers/promises setInterval': `for await (const _ of timers.setInterval(20)) beat()`,
  'timers/promises setTimeout': `for (;;) { await timers.setTimeout(20); beat() }`,
  'promisified setTimeout': `for (;;) { await promisify(setTimeout)(20); beat() }`,
  'scheduler.wait': `for (;;) { await timers.scheduler.wait(20); beat() }`,
  'setTimeout that starts itself again': `(function again() { beat(); setTimeout(again, 20) })()`,
  'fs.watch': `fs.watch(folder + '/watched', beat)`,
  'fs.watchFile': `fs.watchFile(folder + '/watched/touched', { interval: 20 }, beat)`,
  'fsPromises.watch': `for await (const _ of fs.promises.watch(folder + '/watched')) beat()`,
  chokidar: `chokidar.watch(folder + '/watched', { ignoreInitial: true }).on('all', beat)`,
  socket: `net.connect(shared.port).on('data', beat).on('error', () => {})`,
  'socket that connects again when it is closed': `(function again() { net.connect(shared.port).on('data', beat).on('error', () => {}).on('close', again) })()`,
  'http server': `http.createServer((_, response) => { beat(); response.end() }).listen(folder + '/http.sock').on('error', say)`,
  'http request without an answer': `http.get({ port: shared.silentPort }).on('error', () => {}); beat()`,
  'fetch without an answer': `fetch('http://127.0.0.1:' + shared.mutePort).catch(() => {}); beat()`,
  'datagram socket': `const socket = dgram.createSocket('udp4').on('message', beat).bind(0, '127.0.0.1', () => { (function send() { socket.send('x', socket.address().port, '127.0.0.1', () => setImmediate(send)) })() })`,
  'worker thread': `new Worker('setInterval(() => require("node:worker_threads").parentPort.postMessage(1), 20)', { eval: true }).on('message', beat)`,
  'message port': `const { port1, port2 } = new MessageChannel(); port1.on('message', () => { beat(); port2.postMessage(1) }); port2.postMessage(1)`,
  'broadcast channel': `new BroadcastChannel('beats').onmessage = beat`,
  'listener on an emitter of a sibling': `shared.emitter.on('beat', beat)`,
  'listener on an EventTarget of a sibling': `shared.target.addEventListener('beat', beat)`,
}

const SHARED = `
import { EventEmitter } from 'node:events'
export const emitter = new EventEmitter()
export const target = new EventTarget()
export let port, silentPort, mutePort, silent = 0
export const listening = (a, b, c) => { port = a; silentPort = b; mutePort = c }
export const connected = (by) => { silent += by }
`

const sibling = (folder: string): string => `
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import http from 'node:http'
import * as shared from '../shared.mjs'
export async function run(ctx) {
  const sockets = new Set()
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}).on('close', () => sockets.delete(socket)))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const silent = createServer((socket) => {
    shared.connected(1)
    socket.on('error', () => {}).on('close', () => shared.connected(-1)).resume()
  }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  // Connections in the pool of fetch() stay: they are not counted.
  const mute = createServer((socket) => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  shared.listening(server.address().port, silent.address().port, mute.address().port)
  ctx.ready()
  const channel = new BroadcastChannel('beats')
  let n = 0
  setInterval(() => {
    writeFileSync(${JSON.stringify(folder)} + '/watched/touched', String(n++))
    for (const socket of sockets) socket.write('x')
    shared.emitter.emit('beat')
    shared.target.dispatchEvent(new Event('beat'))
    channel.postMessage(n)
    http.get({ socketPath: ${JSON.stringify(folder)} + '/http.sock', agent: false }, (response) => response.resume()).on('error', () => {})
    console.log(JSON.stringify({ sockets: sockets.size, silent: shared.silent }))
  }, 25)
  await once(ctx.signal, 'abort')
}`

const subject = (folder: string): string => `
import { once } from 'node:events'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import chokidar from ${JSON.stringify(import.meta.resolve('chokidar'))}
import * as timers from 'node:timers/promises'
import dgram from 'node:dgram'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import * as shared from '../shared.mjs'
const folder = ${JSON.stringify(folder)}
let runs = 0
export async function run(ctx) {
  const run = ++runs
  const say = (error) => ctx.log.error({ event: 'failed', run }, String(error))
  const beats = new Map()
  const starts = { ${Object.entries(KINDS)
    .map(([name, open]) => `${JSON.stringify(name)}: async (beat) => { ${open} }`)
    .join(',\n')} }
  for (const [kind, start] of Object.entries(starts))
    start(() => {
      const count = (beats.get(kind) ?? 0) + 1
      beats.set(kind, count)
      if (count <= 3 || run < runs || ctx.signal.aborted) console.log(JSON.stringify({ kind, run, runs, aborted: ctx.signal.aborted }))
    }).catch(say)
  if (ctx.config.fails) {
    await timers.setTimeout(200)
    throw new Error('on purpose')
  }
  await once(ctx.signal, 'abort')
}`

interface Beat {
  readonly kind: string
  readonly run: number
  readonly runs: number
  readonly aborted: boolean
}

function beatsOf(herd: Herd, from = 0): Beat[] {
  return herd.matching({ msg: /"kind":/ }, from).map((line) => JSON.parse(String(line['msg'])) as Beat)
}

/** Resolves when the sibling has lived longer than any kind waits between two beats; returns the last that it said. */
async function aWhile(herd: Herd): Promise<unknown> {
  let last: { readonly [key: string]: unknown } = {}
  for (let at = herd.mark(), seen = 0; seen < 6; seen++) {
    last = await herd.line({ worker: 'sibling', msg: /"sockets":/ }, at)
    at = herd.lines.indexOf(last) + 1
  }
  return JSON.parse(String(last['msg'])) as unknown
}

t.test('after restarts each thing beats for the current run only, and after a stop for none', async (t) => {
  const folder = herdFolder(t)
  const herd = await startHerd(t, {
    folder,
    files: { 'shared.mjs': SHARED, 'watched/touched': '' },
    workers: { sibling: sibling(folder), subject: subject(folder) },
    config: {
      workers: { sibling: { ready: 'call' }, subject: { after: ['sibling'], stopTimeout: '2s' } },
    },
  })
  for (let run = 1; run <= 3; run++) {
    const from = herd.mark()
    for (const kind of Object.keys(KINDS))
      await herd.line({ msg: new RegExp(`"kind":"${kind}","run":${run},`) })
    await aWhile(herd)
    const late = beatsOf(herd, from).filter((beat) => beat.run < run)
    t.same(late, [], `nothing of an earlier run beats during run ${run}`)
    await herd.act('subject', run < 3 ? 'restart' : 'stop')
    await herd.line({ worker: 'subject', event: 'transition', from: 'stopping' }, from)
  }
  const from = herd.mark()
  t.same(await aWhile(herd), { sockets: 0, silent: 0 }, 'the connections of a stopped worker are closed')
  t.same(beatsOf(herd, from), [], 'nothing of it beats')
  t.same(herd.matching({ event: /^(failed|exit)$/ }), [])
  t.match(await herd.worker('sibling'), { state: 'running', restarts: 0, failures: 0 })
  t.match(herd.matching({ event: 'leftovers' })[0], {
    timers: /setInterval\(\w+\)/,
    listeners: /EventEmitter\.on\('beat'\)/,
    servers: /Server on/,
    handles: /Socket/,
  })
})

t.test('nothing of a quarantined worker beats', async (t) => {
  const folder = herdFolder(t)
  const herd = await startHerd(t, {
    folder,
    files: { 'shared.mjs': SHARED, 'watched/touched': '' },
    workers: { sibling: sibling(folder), subject: subject(folder) },
    config: {
      workers: {
        sibling: { ready: 'call' },
        subject: { after: ['sibling'], config: { fails: true }, limit: { failures: 1, within: '5m' } },
      },
    },
  })
  await herd.line({ worker: 'subject', event: 'transition', to: 'quarantined' })
  const from = herd.mark()
  t.same(await aWhile(herd), { sockets: 0, silent: 0 }, 'its connections are closed')
  t.same(beatsOf(herd, from), [])
  t.ok(beatsOf(herd).length > Object.keys(KINDS).length, 'before, it did')
})
