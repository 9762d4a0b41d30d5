// Records the file sizes of a folder in a metrics file of bounded size. Dormant between ticks, and lean: it does not import
// the ORM.

import { readdir, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { appendJson } from '../lib/files.js'
import { relay } from '../lib/relay.js'

/** @typedef {{ relay: string, folder: string, to: string, maxBytes: number }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { folder, to, maxBytes } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  /** @type {Record<string, number>} */
  const bytes = {}
  for (const name of (await readdir(folder).catch(() => [])).slice(0, 1000)) {
    const entry = await stat(join(folder, name)).catch(() => undefined)
    if (entry?.isFile()) bytes[name] = entry.size
  }
  await appendJson(to, { at: ctx.wake.at, bytes })
  if ((await stat(to)).size > maxBytes) await rename(to, `${to}.1`)
  client.count(ctx.name, Object.keys(bytes).length)
}
