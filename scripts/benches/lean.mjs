// What `lean: true` takes off a separate process, and what `inside: true` puts on: private memory of a module and of a
// script that do nothing, and of a script with an ORM, all in one herd.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { spawnClean } from '../../build/src/measure/spawn-clean.js'
import { readSmapsRollup } from '../../build/src/procfs/smaps-rollup.js'
import { MALLOC_ENV, V8_FLAGS } from './lib/flags.mjs'
import { sleep } from './lib/lanes.mjs'
import { buildResult, differenceOf, figuresOf, tableOf } from './lib/result.mjs'

const BYRE = fileURLToPath(new URL('../../dist/bin.js', import.meta.url))
const FLOOR = new URL('./herd/floor.mjs', import.meta.url).href

export const describe = 'a separate process: what lean: true saves and inside: true costs'
export const table = tableOf

const SOURCES = {
  module: `export const run = (ctx) => new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))`,
  script: `setInterval(() => {}, 1e9)`,
  orm: `import { database } from '${FLOOR}'\nawait database()\nsetInterval(() => {}, 1e9)`,
}

export async function run(options) {
  const runs = { plain: [], lean: [], inside: [] }
  for (let i = 1; i <= options.runs; i++) {
    options.note(`run ${i}/${options.runs}`)
    for (const [lane, values] of Object.entries(await oneRun(options))) runs[lane].push(values)
  }
  return buildResult('lean', options, {
    settings: { memoryAtMsAfterReady: options.settleMs },
    figures: [
      ...figuresOf('plain', runs.plain),
      ...figuresOf('lean', runs.lean),
      ...figuresOf('inside', runs.inside),
      ...Object.keys(SOURCES).map((name) =>
        differenceOf('plain less lean', `${name}AnonBytes`, runs.plain, runs.lean),
      ),
      differenceOf('inside less plain', 'scriptAnonBytes', runs.inside, runs.plain),
    ],
  })
}

async function oneRun({ node, settleMs }) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-lean-'))
  try {
    const byre = await start(node, folder)
    try {
      await sleep(settleMs)
      const { workers } = await byre.status()
      const lanes = { plain: {}, lean: {}, inside: {} }
      for (const { name: worker, pid } of workers) {
        const [name, lane] = worker.split('-')
        lanes[lane][`${name}AnonBytes`] = readSmapsRollup(pid).value.anonBytes
      }
      return lanes
    } finally {
      await byre.stop()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function start(node, folder) {
  const workers = {}
  for (const [name, source] of Object.entries(SOURCES)) {
    const path = join(folder, `${name}.mjs`)
    writeFileSync(path, source)
    const worker = { [name === 'module' ? 'module' : 'script']: path, placement: 'process' }
    workers[`${name}-plain`] = worker
    workers[`${name}-lean`] = { ...worker, lean: true }
    if (name === 'script') workers[`${name}-inside`] = { ...worker, inside: true }
  }
  const config = join(folder, 'byre.config.json')
  writeFileSync(config, JSON.stringify({ name: 'lean', workers }))
  const socketPath = join(folder, 's.sock')
  const env = { ...MALLOC_ENV, BYRE_MALLOC: '1', XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }
  const args = ['supervise', '--config', config, '--socket', socketPath, '--log-format', 'json']
  const child = spawnClean([node, ...V8_FLAGS, BYRE, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const closed = once(child, 'close')
  await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on(
      'line',
      (line) => line.includes('"event":"ready"') && resolve(),
    )
    void closed.then(() => reject(new Error('byre ended before it was ready')))
  })
  return {
    status: async () => JSON.parse(await get(socketPath)),
    async stop() {
      child.kill('SIGTERM')
      await closed
    },
  }
}

function get(socketPath) {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/workers', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk))
      response.on('end', () => resolve(text))
    })
      .on('error', reject)
      .end()
  })
}
