// File helpers that the workers share.

import { appendFile, mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Replaces `file` atomically: a reader sees either the old or the new content.
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
