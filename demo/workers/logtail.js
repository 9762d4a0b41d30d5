// Follows a log file and forwards its lines to another file, also across rotation by renaming or truncation.

import { appendFile, mkdir, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { relay } from '../lib/relay.js'
import { stopped } from '../lib/stopped.js'

/** @typedef {{ relay: string, from: string, to: string }} Config */

const CHUNK_BYTES = 64 * 1024
const NEWLINE = 10

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { from, to } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  await mkdir(dirname(to), { recursive: true })
  const buffer = Buffer.alloc(CHUNK_BYTES)
  /** @type {import('node:fs/promises').FileHandle | undefined} */
  let file
  let offset = 0

  const readOn = async () => {
    for (;;) {
      const { bytesRead } = (await file?.read(buffer, 0, CHUNK_BYTES, offset)) ?? { bytesRead: 0 }
      if (bytesRead === 0) return
      const bytes = buffer.subarray(0, bytesRead)
      await appendFile(to, bytes) // unchanged, even if a chunk ends within a character
      offset += bytesRead
      client.count(ctx.name, bytes.filter((byte) => byte === NEWLINE).length)
    }
  }
  const follow = async () => {
    const held = await file?.stat()
    if (held !== undefined && held.size < offset) offset = 0 // truncated in place
    await readOn()
    const named = await stat(from).catch(() => undefined)
    if (named === undefined || named.ino === held?.ino) return
    // Rotated: everything that was written to the old file before the rename has been read by now.
    await readOn()
    await file?.close()
    file = await open(from)
    offset = 0
    await readOn()
  }

  const release = ctx.every('200ms', follow)
  await stopped(ctx.signal)
  release()
  await file?.close()
}
