// Small file habits the workers share.

import { appendFile, mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Replaces `file` as a whole; a reader sees the old or the new content, never half of one.
 * @param {string} file
 * @param {unknown} value
 */
export async function writeJson(file, value) {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.new`, `${JSON.stringify(value, undefined, 2)}\n`)
  await rename(`${file}.new`, file)
}

/**
 * Appends one JSON line.
 * @param {string} file
 * @param {unknown} value
 */
export async function appendJson(file, value) {
  await mkdir(dirname(file), { recursive: true })
  await appendFile(file, `${JSON.stringify(value)}\n`)
}
