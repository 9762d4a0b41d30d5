// Leaves a sign of life for whoever watches from outside: the time, and how often it has beaten. Dormant between its
// periods, and lean.

import { writeJson } from '../lib/files.js'
import { relay } from '../lib/relay.js'

/** @typedef {{ relay: string, file: string }} Config */

// Module state lives as long as the process: a worker that went dormant is the same module when it wakes.
let beats = 0

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  beats++
  await writeJson(ctx.config.file, { at: ctx.wake.at, beats })
  client.count(ctx.name)
}
