// Hosts one of Node's test files in the shared loop: loads it, waits until it would have ended plainly, then calls the
// listeners it left for the end of a process. It has not ended while a `mustCall` is open, or something it opened.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'

/** What the start of node itself takes, about: part of the plain time and not of the hosted one. */
const NODE_START_MS = 45
const POLL_MS = 10

// Kept as they are now: the file may replace them.
const require = createRequire(import.meta.url)
const wait = sleep
const now = Date.now
const listenersOf = (event) => process.rawListeners(event)
const openHandles = process._getActiveHandles.bind(process)

export async function run(ctx) {
  const { file, ms, root, slot, patient } = ctx.config
  process.env.TEST_THREAD_ID = slot
  // A copy of its own of everything below test/: the counters of the helpers must not be shared with the file before.
  for (const key of Object.keys(require.cache)) if (key.startsWith(root)) delete require.cache[key]
  const before = { exit: new Set(listenersOf('exit')), beforeExit: new Set(listenersOf('beforeExit')) }
  const added = (event) => listenersOf(event).filter((listener) => !before[event].has(listener))

  const handlesBefore = new Set(openHandles())
  const checks = await load(file, root)
  const done = () =>
    checks().every((check) => check.actual >= (check.minimum ?? check.exact)) &&
    // A standard stream is opened by its first use and stays.
    openHandles().every((handle) => handlesBefore.has(handle) || handle.fd <= 2)
  const settle = async (leastMs, mostMs) => {
    const begin = now()
    while (now() - begin < leastMs) await wait(Math.max(1, Math.min(20, leastMs - (now() - begin))))
    while (!done() && now() - begin < mostMs) await wait(POLL_MS)
  }
  await settle(
    leastWait({ ms, patient, checksAtExit: added('exit').length > 1 }),
    ms * 3 + (patient ? 3000 : 1200),
  )

  const last = added('beforeExit')
  for (const listener of last) process.removeListener('beforeExit', listener)
  for (const listener of last) listener.call(process, 0)
  if (last.length > 0) await settle(30, 2000)

  const atExit = added('exit')
  for (const listener of atExit) process.removeListener('exit', listener)
  process.exitCode = undefined
  for (const listener of atExit) listener.call(process, 0)
}

/** Evaluates the file; the answer gives the `mustCall` checks it has made so far. */
async function load(file, root) {
  const common = join(root, 'common/index.js')
  if (!file.endsWith('.mjs')) {
    require(file)
    return () => require.cache[common]?.mustCallChecks ?? []
  }
  // The helper as an ES module is evaluated once: its checks are emptied for each file.
  const { mustCallChecks } = await import(pathToFileURL(join(root, 'common/index.mjs')).href)
  mustCallChecks.length = 0
  await import(`${pathToFileURL(file).href}?hosted=${now()}`)
  return () => mustCallChecks
}

/** As long as the file takes plainly; longer when it is run again alone, and when it checks something at the end that
 *  nobody can see before (a listener for `exit` beside that of the helper). */
function leastWait({ ms, patient, checksAtExit }) {
  const plain = Math.max(ms - NODE_START_MS, 20)
  return (patient ? (plain + 250) * 1.5 : plain) * (checksAtExit ? 1.5 : 1)
}
