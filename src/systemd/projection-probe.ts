// Entry of the process that measures a projection: loads byre's supervisor and the given modules and writes their
// memory to descriptor 3. It runs no worker.

import { writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { describeThrown } from '../base/errors.ts'
import { readSmapsRollup } from '../procfs/smaps-rollup.ts'
import type { ProbeAnswer } from './projection.ts'

const ANSWER_FD = 3
const SETTLE_MS = 200

const { createSupervisor } = await import('../supervisor/supervisor.ts')
const failed: { path: string; message: string }[] = []
const kept: unknown[] = [createSupervisor]
for (const path of process.argv.slice(2)) {
  try {
    kept.push(await import(pathToFileURL(path).href))
  } catch (error) {
    failed.push({ path, message: describeThrown(error).message })
  }
}
// Garbage of loading is collected in an idle herd too.
for (let i = 0; i < 2; i++) {
  globalThis.gc?.()
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
}
const memory = readSmapsRollup('self')
const answer: ProbeAnswer = memory.ok
  ? { anonBytes: memory.value.anonBytes, fileBytes: memory.value.rssBytes - memory.value.anonBytes, failed }
  : { failed: [...failed, { path: '/proc/self/smaps_rollup', message: memory.reason }] }
writeSync(ANSWER_FD, JSON.stringify(answer))
// Timers and sockets of modules could keep the loop alive.
process.exit(kept.length > 0 ? 0 : 1)
