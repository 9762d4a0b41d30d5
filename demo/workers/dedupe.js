// Passes on each distinct line once within a window of the most recent distinct lines.

import { createHash } from 'node:crypto'
import { appendFile, mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { forEachItem, relay } from '../lib/index.js'

/** @typedef {{ relay: string, to: string, window: number }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { to, window } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  await mkdir(dirname(to), { recursive: true })
  /** Oldest first, because a Set keeps the order of insertion. @type {Set<string>} */
  const seen = new Set()

  await forEachItem(ctx, client, 'lines', async (line) => {
    const key = createHash('sha1').update(String(line)).digest('base64')
    const known = seen.delete(key)
    seen.add(key)
    for (const oldest of seen) {
      if (seen.size <= window) break
      seen.delete(oldest)
    }
    if (!known) await appendFile(to, `${line}\n`)
  })
}
