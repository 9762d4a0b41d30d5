// The source files that a source map names.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isRecord } from '../base/check.ts'
import { modulePath } from '../base/module-path.ts'

/** A larger map is not read. */
const MAP_MAX_BYTES = 16_777_216
const SOURCES_MAX = 5000
const INLINE = /^data:application\/json[^,]*?(;base64)?,/

/** Absolute paths of the sources of `file`, whose source map is at `url`. Never throws: a map may be missing or malformed. */
export function sourcesOf(file: string, url: string): string[] {
  try {
    const inline = INLINE.exec(url)
    const path = inline === null ? pathOf(url, dirname(file)) : file
    if (path === undefined) return []
    const text =
      inline === null ? readFileSync(path) : decode(url.slice(inline[0].length), inline[1] !== undefined)
    if (text.length > MAP_MAX_BYTES) return []
    const map: unknown = JSON.parse(text.toString())
    const { sources, sourceRoot } = isRecord(map) ? map : {}
    if (!Array.isArray(sources)) return []
    const folder = pathOf(typeof sourceRoot === 'string' ? sourceRoot : '', dirname(path)) ?? dirname(path)
    return sources.slice(0, SOURCES_MAX).flatMap((source) => pathOf(String(source), folder) ?? [])
  } catch {
    return []
  }
}

function decode(text: string, base64: boolean): Buffer | string {
  return base64 ? Buffer.from(text, 'base64') : decodeURIComponent(text)
}

/** Undefined for a URL of another scheme (`webpack:`), which no stack frame shows as a path. */
function pathOf(source: string, folder: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(source)) return modulePath(source)
  return resolve(folder, source)
}
