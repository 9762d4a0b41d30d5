// Writes the current time and the number of heartbeats to a file for external monitoring. Dormant between ticks, and lean.

import { writeJson } from '../lib/files.js'
import { relay } from '../lib/relay.js'

/** @typedef {{ relay: string, file: string }} Config */

// Module state lives as long as the process: a dormant worker that wakes uses the same module instance.
let beats = 0

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  beats++
  await writeJson(ctx.config.file, { at: ctx.wake.at, beats })
  client.count(ctx.name)
}
