// Manages the child processes of scripts/demo.mjs: starts byre as a user would, queries its control socket and stops it by
// pid.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CONFIG = join(ROOT, 'demo', 'byre.config.js')
const LAUNCHER = join(ROOT, 'units', 'byre')
const STOP_MS = 15_000
const POLL_MS = 20

/**
 * @typedef {{ code: number | null, signal: string | null }} Exit
 * @typedef {Object} Byre
 * @property {string} name  For messages and its log file.
 * @property {number} pid
 * @property {string} socket
 * @property {string} logFile
 * @property {Promise<Exit>} exit
 * @property {(signal: NodeJS.Signals) => boolean} kill  Does nothing after the process has ended.
 */

/**
 * Returns the arguments and the complete environment of a byre command, for `env -i`: the environment of the caller's shell
 * (especially NODE_OPTIONS) must not affect the measurement.
 * @param {string} dir  The folder of the phase, for data, sockets and state.
 * @param {string} url  The URL of the receiver.
 * @param {readonly string[]} args
 * @returns {string[]} to be spawned as `/usr/bin/env ...`
 */
export function byreCommand(dir, url, args) {
  const env = {
    PATH: `${dirname(process.execPath)}:/usr/local/bin:/usr/bin:/bin`,
    HOME: dir,
    XDG_RUNTIME_DIR: join(dir, 'run'),
    XDG_STATE_HOME: join(dir, 'state'),
    DEMO_DIR: dir,
    DEMO_RECEIVER: url,
    DEMO_HERD: herdName(dir),
  }
  return ['-i', ...Object.entries(env).map(([name, value]) => `${name}=${value}`), LAUNCHER, ...args]
}

/**
 * Starts `byre run <worker>`, `byre supervise --group <group>` or, for 'all', `byre supervise`. The process has a separate
 * session, so a Ctrl-C in the terminal reaches only this script, which then stops its children in order.
 * @param {string} dir
 * @param {string} url
 * @param {{ worker: string } | { group: string } | 'all'} what
 * @returns {Byre}
 */
export function startByre(dir, url, what) {
  const { name, label, args } = describe(what)
  mkdirSync(join(dir, 'logs'), { recursive: true })
  const logFile = join(dir, 'logs', `${label}.log`)
  const log = openSync(logFile, 'a')
  const child = spawn('/usr/bin/env', byreCommand(dir, url, [...args, '--config', CONFIG]), {
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  if (child.pid === undefined) throw new Error(`Cannot start /usr/bin/env for ${name}`)
  const exit = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })))
  const socket = join(dir, 'run', 'byre', herdName(dir), `${label}.sock`)
  return { name, pid: child.pid, socket, logFile, exit, kill: (signal) => child.kill(signal) }
}

/**
 * Each folder has a separate herd name: a worker runs once per herd on a host, and an earlier demo may still be running.
 * @param {string} dir
 */
function herdName(dir) {
  return `demo-${createHash('sha256').update(dir).digest('hex').slice(0, 6)}`
}

/** @param {{ worker: string } | { group: string } | 'all'} what */
function describe(what) {
  if (what === 'all') return { name: 'the herd', label: '_all', args: ['supervise'] }
  if ('group' in what)
    return { name: what.group, label: what.group, args: ['supervise', '--group', what.group] }
  return { name: what.worker, label: `run-${what.worker}`, args: ['run', what.worker] }
}

/**
 * Returns the result of `GET /workers` on the control socket, or undefined while there is no socket.
 * @param {Byre} byre
 * @returns {Promise<any>}
 */
export function readStatus(byre) {
  if (!existsSync(byre.socket)) return Promise.resolve(undefined)
  return new Promise((resolve) => {
    const request = http.get({ socketPath: byre.socket, path: '/workers', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => void (text += chunk))
      response.on('end', () => resolve(response.statusCode === 200 ? JSON.parse(text) : undefined))
    })
    request.on('error', () => resolve(undefined))
  })
}

/**
 * Waits until every worker of `byre` is running or dormant.
 * @param {Byre} byre
 * @param {AbortSignal} signal
 * @returns {Promise<number>} when the last of them was ready, milliseconds since the epoch
 */
export async function whenReady(byre, signal) {
  let ended = false
  void byre.exit.then(() => void (ended = true))
  for (;;) {
    if (ended) throw new Error(`${byre.name} ended before it was ready; the end of its log:\n${tail(byre)}`)
    const status = await readStatus(byre)
    const at = status === undefined ? undefined : readyAt(status)
    if (at !== undefined) return at
    await sleep(POLL_MS, undefined, { signal })
  }
}

/** @param {any} status of one supervisor @returns {number | undefined} */
function readyAt(status) {
  const { readyMs } = status.phases
  if (readyMs === undefined) return undefined
  /** @type {any[]} */
  const workers = status.workers
  if (workers.some(({ state }) => state === 'loading' || state === 'starting')) return undefined
  const eager = workers.filter(({ activation, readyAt }) => activation === 'eager' && readyAt !== undefined)
  return Math.max(status.startedAt, ...eager.map((worker) => worker.readyAt))
}

/**
 * Returns the problems in the status: restarts, failures and quarantine.
 * @param {any} status
 * @returns {string[]}
 */
export function problemsOf(status) {
  /** @type {any[]} */
  const workers = status.workers
  return workers
    .filter(({ failures, restarts, state }) => failures > 0 || restarts > 0 || state === 'quarantined')
    .map(({ name, state, failures, restarts, lastExit }) => {
      const why = lastExit === undefined ? '' : `: ${lastExit.verdict}, ${lastExit.reason}`
      return `${name} is ${state} after ${failures} failures and ${restarts} restarts${why}`
    })
}

/**
 * Sends SIGTERM to all processes, and SIGKILL to those that remain after 15 s.
 * @param {readonly Byre[]} herd
 * @returns {Promise<string[]>} the processes that did not end cleanly
 */
export async function stopAll(herd) {
  for (const byre of herd) byre.kill('SIGTERM')
  const waiting = new AbortController()
  const late = sleep(STOP_MS, undefined, { signal: waiting.signal }).catch(() => {})
  const problems = herd.map(async (byre) => {
    const exit = await Promise.race([byre.exit, late])
    if (exit?.code === 0) return []
    if (exit !== undefined)
      return [`${byre.name} ended with ${exit.signal ?? `exit code ${exit.code}`}:\n${tail(byre)}`]
    byre.kill('SIGKILL')
    await byre.exit
    return [`${byre.name} had to be killed ${STOP_MS / 1000} s after SIGTERM:\n${tail(byre)}`]
  })
  const all = (await Promise.all(problems)).flat()
  waiting.abort()
  return all
}

/** The last lines of its log. @param {Byre} byre */
function tail({ logFile }) {
  return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-8).join('\n')
}
