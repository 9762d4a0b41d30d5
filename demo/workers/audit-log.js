// Appends events to a log in which each record contains the hash of the record before it, so that a changed or removed
// record breaks the chain. Dormant until there is an event.

import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { appendJson, drainQueue, relay } from '../lib/index.js'

/** @typedef {{ relay: string, file: string }} Config */

const TAIL_BYTES = 16 * 1024

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { file } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  let previous = await lastHash(file)
  await drainQueue(ctx, client, 'audit', async (event) => {
    const record = { at: Date.now(), event, previous }
    const hash = createHash('sha256').update(JSON.stringify(record)).digest('hex')
    await appendJson(file, { ...record, hash })
    previous = hash
  })
}

/** @param {string} file @returns {Promise<string>} '' for a new log */
async function lastHash(file) {
  const handle = await open(file).catch(() => undefined)
  if (handle === undefined) return ''
  try {
    const { size } = await handle.stat()
    const length = Math.min(size, TAIL_BYTES)
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, size - length)
    const last = buffer.toString('utf8').trimEnd().split('\n').pop() ?? ''
    return last === '' ? '' : String(JSON.parse(last).hash)
  } finally {
    await handle.close()
  }
}
