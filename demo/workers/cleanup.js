// Removes files that are older than their retention time. A cron job: loaded at its first tick, dormant between ticks.

import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { relay } from '../lib/index.js'

/** @typedef {{ relay: string, folders: { path: string, keepMs: number }[] }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  let removed = 0
  for (const { path, keepMs } of ctx.config.folders) {
    const keepFrom = ctx.wake.at - keepMs
    for (const name of await readdir(path).catch(() => [])) {
      if (ctx.signal.aborted) return
      const file = join(path, name)
      const entry = await stat(file).catch(() => undefined)
      if (entry === undefined || !entry.isFile() || entry.mtimeMs >= keepFrom) continue
      await rm(file, { force: true })
      removed++
    }
  }
  client.count(ctx.name, removed)
  ctx.log.debug({ removed }, 'cleaned up')
}
