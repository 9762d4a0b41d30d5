// Waits for the test files that hosted.mjs evaluates, in a worker of its own: until a file would have ended plainly, each of its
// `mustCall` is satisfied and all that it opened is closed. Then it calls the listeners the file left for the end of a process.
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { list as processList } from './process-list.cjs'

/** What the start of node itself takes, about: part of the plain time and not of the hosted one. */
const NODE_START_MS = 45
const POLL_MS = 10

// Kept as they are now: a file may replace them.
const wait = sleep
const now = Date.now
const openHandles = process._getActiveHandles.bind(process)
globalThis[Symbol.for('byre.conformance.calls')] = new EventEmitter()
const before = new Set(['exit', 'beforeExit'].flatMap((event) => processList.listeners(event)))
const queue = (globalThis[Symbol.for('byre.conformance.hosted')] = [])

export async function run({ signal }) {
  while (!signal.aborted) {
    const hosted = queue.shift()
    if (hosted === undefined) await wait(5)
    else void judge(hosted).then(hosted.end, hosted.end)
  }
}

async function judge({ ms, patient, list, handlesBefore, checks }) {
  const added = (event) =>
    [list, processList].flatMap((each) =>
      each
        .listeners(event)
        .filter((listener) => !before.has(listener))
        .map((listener) => ({ list: each, listener })),
    )
  const callAll = (event) => {
    const last = added(event)
    for (const { list: each, listener } of last) each.remove(event, listener)
    for (const { list: each, listener } of last) each.call(listener)
    return last.length
  }
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

  if (callAll('beforeExit') > 0) await settle(30, 2000)
  process.exitCode = undefined
  callAll('exit')
}

/** As long as the file takes plainly; longer when it is run again alone, and when it checks something at the end that
 *  nobody can see before (a listener for `exit` beside that of the helper). */
function leastWait({ ms, patient, checksAtExit }) {
  const plain = Math.max(ms - NODE_START_MS, 20)
  return (patient ? (plain + 250) * 1.5 : plain) * (checksAtExit ? 1.5 : 1)
}
