// Watches a directory and announces each new file once. Writers are expected to rename a finished file into place; names
// that end in `.part` are ignored.

import { watch } from 'node:fs'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { relay, send, stopped } from '../lib/index.js'

/** @typedef {{ relay: string, inbox: string }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { inbox } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  await mkdir(inbox, { recursive: true })
  /** @type {Set<string>} */
  let known = new Set()

  const scan = async () => {
    const names = (await readdir(inbox)).filter((name) => !name.endsWith('.part'))
    const fresh = names.filter((name) => !known.has(name))
    known = new Set(names) // drops removed files, so that it never grows beyond the directory
    for (const name of fresh) {
      const bytes = (await stat(join(inbox, name)).catch(() => undefined))?.size
      if (bytes === undefined) continue // already removed
      await send(ctx, client, 'files', [{ name, bytes }])
      client.count(ctx.name)
    }
  }

  let changed = true
  const watcher = watch(inbox, () => void (changed = true))
  ctx.signal.addEventListener('abort', () => watcher.close(), { once: true })
  // All events of a burst cause one scan.
  ctx.every('200ms', async () => {
    if (!changed) return
    changed = false
    await scan()
  })
  await stopped(ctx.signal)
}
