// Makes thumbnails of the pictures that `dirwatch` announces, with a quarter of the width and height; each pixel is the mean
// of 16. It reads PGM, a picture format that needs no library. Dormant until a file arrives.

import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { drainQueue, relay } from '../lib/index.js'

/** @typedef {{ relay: string, inbox: string, thumbs: string, done: string }} Config */

const MAX_BYTES = 4 * 1024 * 1024
const FACTOR = 4

/** @param {import('byre/worker').WorkerContext<Config>} ctx */
export async function run(ctx) {
  const { inbox, thumbs, done } = ctx.config
  const client = await ctx.use(relay(ctx.config.relay))
  await mkdir(thumbs, { recursive: true })
  await mkdir(done, { recursive: true })
  await drainQueue(ctx, client, 'files', async ({ name, bytes }) => {
    if (bytes > MAX_BYTES) return ctx.log.warn({ name, bytes }, 'too large')
    const picture = parsePgm(await readFile(join(inbox, name)).catch(() => Buffer.alloc(0)))
    if (picture === undefined) ctx.log.warn({ name }, 'not a PGM picture, or already removed')
    else {
      await writeFile(join(thumbs, `${name}.part`), formatPgm(shrink(picture)))
      await rename(join(thumbs, `${name}.part`), join(thumbs, name))
    }
    await rename(join(inbox, name), join(done, name)).catch(() => {})
  })
}

/** @typedef {{ width: number, height: number, pixels: Uint8Array }} Picture */

/** Binary PGM with one byte per pixel. @param {Buffer} file @returns {Picture | undefined} */
export function parsePgm(file) {
  const header = /^P5\s+(\d{1,5})\s+(\d{1,5})\s+255\s/.exec(file.toString('latin1', 0, 64))
  if (header === null) return undefined
  const width = Number(header[1])
  const height = Number(header[2])
  const pixels = file.subarray(header[0].length)
  return pixels.length === width * height ? { width, height, pixels } : undefined
}

/** @param {Picture} picture @returns {Picture} */
export function shrink({ width, height, pixels }) {
  const small = { width: Math.floor(width / FACTOR), height: Math.floor(height / FACTOR) }
  const out = new Uint8Array(small.width * small.height)
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      let sum = 0
      for (let i = 0; i < FACTOR * FACTOR; i++)
        sum += pixels[(y * FACTOR + Math.floor(i / FACTOR)) * width + x * FACTOR + (i % FACTOR)] ?? 0
      out[y * small.width + x] = Math.round(sum / FACTOR / FACTOR)
    }
  }
  return { ...small, pixels: out }
}

/** @param {Picture} picture */
export function formatPgm({ width, height, pixels }) {
  return Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`, 'latin1'), pixels])
}
