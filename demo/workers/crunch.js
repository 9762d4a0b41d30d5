// Derives keys from passwords: tens of milliseconds of uninterrupted CPU for each answer. It is not part of the herd;
// ../byre.config.js gives the reason.

import { scryptSync } from 'node:crypto'
import { relay } from '../lib/relay.js'
import { stopped } from '../lib/stopped.js'

/** @typedef {{ relay: string }} Config */

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const client = await ctx.use(relay(ctx.config.relay))
  const release = client.serve('key.stretch', ({ password, salt }) => {
    client.count(ctx.name)
    return { key: scryptSync(String(password), String(salt), 32).toString('hex') }
  })
  await stopped(ctx.signal)
  release()
}
