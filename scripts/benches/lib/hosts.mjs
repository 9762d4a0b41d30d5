// Starts what is measured: the hand-written host, `byre supervise`, or a bare node; each through `env -i`, each known to
// be ready by the same mark. Nothing here runs inside the measured process.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { spawnClean } from '../../../build/src/measure/spawn-clean.js'
import { CALIBRATED_FLAGS, MALLOC_ENV, V8_FLAGS } from './flags.mjs'

const BY_HAND = fileURLToPath(new URL('../hosts/by-hand.mjs', import.meta.url))
const BY_REDIS_HAND = fileURLToPath(new URL('../hosts/by-hand-redis.mjs', import.meta.url))
const BYRE = fileURLToPath(new URL('../../../dist/bin.js', import.meta.url))
const LOOP_DELAY = new URL('../preload/loop-delay.mjs', import.meta.url).href
const COLLECT = new URL('../preload/collect.mjs', import.meta.url).href
const READY_TIMEOUT_MS = 120_000

export function startByHand(node, herd, options = {}) {
  return startHost('by-hand', node, [BY_HAND, herd.config], herd, options)
}

/** As startByHand, for dormant workers on Redis. */
export function startByRedisHand(node, herd) {
  return startHost('by-hand-redis', node, [BY_REDIS_HAND, herd.config], herd, {})
}

export function startByre(node, herd, options = {}) {
  return startHost(
    'byre',
    node,
    [BYRE, 'supervise', '--config', herd.config, '--socket', herd.socket],
    herd,
    options,
  )
}

/** A script in plain node; ready when it says so. */
export function startScript(node, script, args, { flags = [], malloc = MALLOC_ENV, env = {} }) {
  return start('plain node', [node, ...flags, script, ...args], { ...malloc, ...env })
}

/** A node that does nothing; ready when it says so. `flags` as the hosts have them, or none. */
export function startBare(node, { flags = [] } = {}) {
  const script = 'console.log(JSON.stringify({ event: "ready" })); setInterval(() => {}, 1e9)'
  return start('bare node', [node, ...flags, '-e', script], {})
}

/** Another process on the same binary, so that its pages are shared in every lane and PSS and USS mean the same. */
export function startCompanion(node) {
  return startBare(node)
}

/** `calibrated`: as repeatable as a node can be made (no address randomisation, one thread, fixed seeds, one malloc
 *  arena). Its figures are not those of a plain process; only differences between calibrated lanes mean something. */
function startHost(
  label,
  node,
  command,
  herd,
  {
    loopDelay = false,
    collect = false,
    calibrated = false,
    malloc = MALLOC_ENV,
    env: more = {},
    onLine: told,
  },
) {
  const wanted = [...(loopDelay ? [LOOP_DELAY] : []), ...(collect ? [COLLECT] : [])]
  const preload = wanted.flatMap((url) => ['--import', url])
  const flags = [...V8_FLAGS, ...(calibrated ? CALIBRATED_FLAGS : [])]
  const env = { ...malloc, XDG_RUNTIME_DIR: herd.folder, XDG_STATE_HOME: herd.folder, ...more }
  return start(
    label,
    [node, ...flags, ...preload, ...command],
    calibrated ? { ...env, MALLOC_ARENA_MAX: '1' } : env,
    calibrated ? ['setarch', '-R'] : [],
    told,
  )
}

/** Resolves when the child printed its ready line: {pid, readyMs (wall, from spawn), reportedReadyMs, channel, stop()}. */
async function start(label, command, env, prefix = [], told) {
  const startedAt = performance.now()
  const child = spawnClean(command, { env, prefix, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  const output = []
  const ready = new Promise((resolve, reject) => {
    const onLine = (line) => {
      told?.(line)
      if (output.push(line) > 200) output.shift()
      if (!line.includes('"event":"ready"')) return
      resolve({ readyMs: performance.now() - startedAt, reportedReadyMs: JSON.parse(line).readyMs })
    }
    createInterface({ input: child.stdout }).on('line', onLine)
    createInterface({ input: child.stderr }).on('line', onLine)
    const fail = (why) =>
      reject(new Error(`${label} ${why}. Its last lines:\n${output.slice(-20).join('\n')}`))
    void closed.then(([code, signal]) => fail(`ended (${code ?? signal}) before it was ready`), reject)
    setTimeout(() => fail(`was not ready after ${READY_TIMEOUT_MS} ms`), READY_TIMEOUT_MS).unref()
  })
  const stop = async (signal = 'SIGTERM') => {
    const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
    child.kill(signal)
    await closed
    clearTimeout(force)
  }
  try {
    return { label, pid: child.pid, ...(await ready), channel: child.stdio[3], output, stop }
  } catch (error) {
    await stop('SIGKILL')
    throw error
  }
}

/** Loop delay of a host started with `loopDelay`, over `windowMs` from now. */
export async function measureLoopDelay(host, windowMs) {
  const lines = createInterface({ input: host.channel })[Symbol.asyncIterator]()
  host.channel.write('start\n')
  await lines.next()
  await new Promise((resolve) => setTimeout(resolve, windowMs))
  host.channel.write('stop\n')
  return JSON.parse((await lines.next()).value)
}
