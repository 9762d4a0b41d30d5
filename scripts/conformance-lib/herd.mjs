// A `byre supervise` with the programs under test, dormant until asked for, and in the shared loop a neighbour and the judge of
// what runs there.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cleanEnv, sleep, start } from './processes.mjs'
import { followLog } from './herd-log.mjs'
import { endsRun, newRecord } from './verdict.mjs'

const NEIGHBOUR = fileURLToPath(new URL('workers/neighbour.mjs', import.meta.url))
const JUDGE = fileURLToPath(new URL('workers/judge.mjs', import.meta.url))
const HERD = 'conformance'
const READY_LIMIT_MS = 15_000
const STOP_LIMIT_MS = 8000
const WORKER_STOP_LIMIT_MS = 4000
const ACCEPTED = 202
/** A file may hold the loop for some seconds plainly as well. */
const ANSWER_LIMIT_MS = 30_000

/** `workers`: name -> entry of the config; each gets what makes it start on `run` only and end for good. The neighbour
 *  complains of a turn that came later than `longestGapMs`. */
export async function startHerd({ launcher, node, cwd, workers, longestGapMs, env = {} }) {
  const folder = mkdtempSync(join(tmpdir(), 'byre-conformance-'))
  const complaints = openComplaints(join(folder, 'neighbour.jsonl'))
  const config = join(folder, 'byre.config.json')
  const entries = {
    neighbour: { module: NEIGHBOUR, config: { file: complaints.file, longestGapMs } },
    judge: { module: JUDGE },
  }
  for (const [name, entry] of Object.entries(workers)) entries[name] = { ...DORMANT(name), ...entry }
  writeFileSync(config, JSON.stringify({ name: HERD, workers: entries }))
  const { child, release } = start(launcher, ['supervise', '--config', config, '--log-format', 'json'], {
    cwd,
    env: cleanEnv(node, { ...env, XDG_RUNTIME_DIR: folder, XDG_STATE_HOME: folder }),
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
      child.kill('SIGTERM')
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
  const lines = log.follow(name, record)
  const within = (ms, event) => Promise.race([event, ended, sleep(ms)])
  try {
    const runEnds = lines.next(endsRun)
    const code = await post(socket, name, 'wake')
    if (code !== ACCEPTED) record.warnings.push(`wake answered ${code}`)
    await within(limitMs, runEnds)
    record.ms = Math.round(performance.now() - begin)
    const late = !record.ended
    // byre reports an end in several lines, the verdict not first: they all precede its line about this request.
    const asked = lines.next((line) => line.event === 'control')
    await post(socket, name, 'stop')
    await within(WORKER_STOP_LIMIT_MS, Promise.all([asked, runEnds]))
    if (late) record.verdict = 'timeout'
  } catch (error) {
    // A supervisor that is about to end answers no more.
    await within(STOP_LIMIT_MS)
    state.over ??= `the supervisor does not answer: ${error.message}`
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

function post(socketPath, worker, action) {
  return new Promise((resolve, reject) => {
    const options = { socketPath, path: `/workers/${worker}/${action}`, method: 'POST' }
    const request = http.request(options, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode))
    })
    request.once('error', reject)
    request.setTimeout(ANSWER_LIMIT_MS, () =>
      request.destroy(new Error(`no answer within ${ANSWER_LIMIT_MS / 1000} s`)),
    )
    request.end()
  })
}
