// A `byre supervise` with the programs under test, dormant until asked for, and a neighbour in the shared loop.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { cleanEnv, sleep, start } from './processes.mjs'
import { newRecord, noteLine } from './verdict.mjs'

const NEIGHBOUR = fileURLToPath(new URL('workers/neighbour.mjs', import.meta.url))
const HERD = 'conformance'
const READY_LIMIT_MS = 15_000
const STOP_LIMIT_MS = 8000
const WORKER_STOP_LIMIT_MS = 4000
const TAIL_CHARS = 3000
const ACCEPTED = 202
const WARN_LEVEL = 40

/** `workers`: name -> entry of the config; each gets what makes it start on `run` only and end for good. The neighbour
 *  complains of a turn that came later than `longestGapMs`. */
export async function startHerd({ launcher, node, cwd, workers, longestGapMs }) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-conformance-'))
  const complaints = openComplaints(join(folder, 'neighbour.jsonl'))
  const config = join(folder, 'byre.config.json')
  const entries = { neighbour: { module: NEIGHBOUR, config: { file: complaints.file, longestGapMs } } }
  for (const [name, entry] of Object.entries(workers)) entries[name] = { ...DORMANT(name), ...entry }
  writeFileSync(config, JSON.stringify({ name: HERD, workers: entries }))
  const { child, release } = start(launcher, ['supervise', '--config', config, '--log-format', 'json'], {
    cwd,
    env: cleanEnv(node, { XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log = followLog(child)
  const state = { over: undefined }
  const ended = once(child, 'exit').then(
    ([code, signal]) => (state.over = `the supervisor ended: ${code ?? signal}`),
  )
  await Promise.race([log.ready, ended, sleep(READY_LIMIT_MS)])
  const socket = join(folder, `byre/${HERD}/_all.sock`)

  return {
    /** Why the supervisor is gone; undefined while it runs. */
    get over() {
      return state.over
    },
    run: (name, options) => runWorker({ name, log, socket, ended, state, complaints, ...options }),
    async stop() {
      if (state.over === undefined) child.kill('SIGTERM')
      await Promise.race([ended, sleep(STOP_LIMIT_MS)])
      release()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const DORMANT = (name) => ({
  activation: { topics: [`never.${name}`] },
  restart: 'never',
  stopTimeout: '1s',
  limit: { failures: 100, within: '5m' },
})

/** Wakes the worker and resolves with its record when its run has ended or `limitMs` have passed. `quietMs`: how long
 *  after that a complaint of the neighbour is still the worker's. */
async function runWorker({ name, limitMs, quietMs, log, socket, ended, state, complaints }) {
  const record = newRecord()
  const begin = performance.now()
  const finished = log.follow(name, record)
  const rest = () => Promise.race([finished, ended, sleep(WORKER_STOP_LIMIT_MS)])
  try {
    const code = await post(socket, name, 'wake')
    if (code !== ACCEPTED) record.warnings.push(`wake answered ${code}`)
    await Promise.race([finished, ended, sleep(limitMs)])
    record.ms = Math.round(performance.now() - begin)
    if (!record.ended && state.over === undefined) {
      record.verdict = 'timeout'
      await post(socket, name, 'stop').catch(() => {})
      await rest()
      record.verdict = 'timeout'
    }
  } catch (error) {
    // The socket of a supervisor that is about to end answers no more.
    await Promise.race([ended, sleep(1000)])
    if (state.over === undefined) Object.assign(record, { verdict: 'control', why: String(error) })
  }
  if (state.over !== undefined && !record.ended)
    Object.assign(record, { verdict: 'herd-down', why: `${state.over}; ${log.lastWords()}` })
  log.unfollow(name)
  if (state.over === undefined) await sleep(quietMs)
  record.neighbour.push(...complaints.takeNew())
  return record
}

/** The complaints of the neighbour since they were last taken. */
function openComplaints(file) {
  writeFileSync(file, '')
  let seen = 0
  return {
    file,
    takeNew() {
      const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
      const fresh = lines.slice(seen)
      seen = lines.length
      return fresh.map((line) => line.slice(0, 200))
    },
  }
}

/** Reads byre's log: lines of a followed worker go into its record, those about the neighbour into all of them. */
function followLog(child) {
  const followed = new Map()
  const warnings = []
  let tail = ''
  const keep = (text) => (tail = (tail + text).slice(-TAIL_CHARS))
  child.stderr.setEncoding('utf8').on('data', keep)
  let up
  const ready = new Promise((resolve) => (up = resolve))

  function take(line) {
    if (line.event === 'ready' || (line.worker === 'neighbour' && line.to === 'running')) up()
    const target = followed.get(line.worker)
    if (target !== undefined) {
      if (noteLine(target.record, line)) target.finish()
      return
    }
    if (!(line.level >= WARN_LEVEL)) return
    const text = `${line.event ?? 'log'}: ${line.msg}`.slice(0, 200)
    warnings.push(text)
    if (warnings.length > 3) warnings.shift()
    if (line.worker === 'neighbour') for (const { record } of followed.values()) record.neighbour.push(text)
  }

  createInterface({ input: child.stdout }).on('line', (text) => {
    let line
    try {
      line = JSON.parse(text)
    } catch {
      keep(`${text}\n`)
      return
    }
    take(line)
  })
  return {
    ready,
    follow: (name, record) =>
      new Promise((resolve) => {
        followed.set(name, {
          record,
          finish() {
            record.ended = true
            resolve()
          },
        })
      }),
    unfollow: (name) => followed.delete(name),
    lastWords: () => `${warnings.join(' | ')} ${tail.slice(-500)}`.trim(),
  }
}

function post(socketPath, worker, action) {
  return new Promise((resolve, reject) => {
    const options = { socketPath, path: `/workers/${worker}/${action}`, method: 'POST' }
    const request = http.request(options, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode))
    })
    request.once('error', reject)
    request.end()
  })
}
