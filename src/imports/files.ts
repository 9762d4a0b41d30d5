// The files of the file system, as the child reads them.

import { realpathSync, statSync } from 'node:fs'
import { hash53 } from '../base/hash.ts'

/** Changes with the content of a file: a deploy may keep its modification time or replace it. */
export interface FilePrint {
  readonly print: number
  readonly bytes: number
}

/** Undefined when `file` is not a regular file. */
export function printOf(file: string): FilePrint | undefined {
  try {
    const stat = statSync(file)
    if (!stat.isFile()) return undefined
    const { dev, ino, size, mtimeMs, ctimeMs } = stat
    return { print: hash53(`${dev} ${ino} ${size} ${mtimeMs} ${ctimeMs}`), bytes: size }
  } catch {
    return undefined
  }
}

export function isFile(path: string): boolean {
  return printOf(path) !== undefined
}

/** Not `realpathSync` in JavaScript: see base/stat.ts. */
export function realFile(path: string): string {
  try {
    return realpathSync.native(path)
  } catch {
    return path
  }
}
