// Runs workloads on request: one line of JSON `{name, count?}` in, one line `{wallMs, cpuMs}` out. `cpuMs` is that of the
// whole process, all its threads.
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { workloads } from './workloads.mjs'

/** Of each workload, before any is measured. */
const WARM_UP = 300

/**
 * Resolves with the server once it listens on the Unix socket `path`. Before that a little of every workload is done: a
 * program that has used nothing but promises reads its async context through inline caches of one shape, 1.3 to 1.4 times
 * as fast on Node 20 as any program that has also used a socket, a file and a timer.
 */
export async function serve(path) {
  for (const workload of Object.values(workloads)) await workload(WARM_UP)
  const server = createServer((socket) => void answerAll(socket))
  await new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve))
  return server
}

async function answerAll(socket) {
  for await (const line of createInterface(socket)) socket.write(`${JSON.stringify(await answer(line))}\n`)
}

async function answer(line) {
  const { name, count } = JSON.parse(line)
  const before = process.cpuUsage()
  try {
    const wallMs = await workloads[name](count)
    const { user, system } = process.cpuUsage(before)
    return { wallMs, cpuMs: (user + system) / 1000 }
  } catch (error) {
    return { error: String(error.stack) }
  }
}
