// Finds the file that has a syntax error: V8 names it for an ES module only where nobody but the terminal can read it.

import { readFileSync } from 'node:fs'
import { relativeImports } from '../base/relative-imports.ts'

/** Files looked at, bytes of one that are. */
const FILES_MAX = 200
const SOURCE_MAX_BYTES = 1_000_000
/** What Node does not translate first and reads as an ES module. */
const ES_MODULE = /\.m?js$/

/** The first ES module with a syntax error among `entry` and what it reaches by relative imports. Evaluates nothing. */
export async function brokenFile(entry: string): Promise<string | undefined> {
  const found = new Set([entry])
  for (const path of found) {
    const source = ES_MODULE.test(path) ? read(path) : undefined
    if (source === undefined || !/\b(?:import|export)\b/.test(source)) continue
    if (await isBroken(source)) return path
    for (const next of relativeImports(source, path)) if (found.size < FILES_MAX) found.add(next)
  }
  return undefined
}

function read(path: string): string | undefined {
  try {
    const source = readFileSync(path, 'utf8')
    return source.length > SOURCE_MAX_BYTES ? undefined : source
  } catch {
    return undefined // it looked like an import
  }
}

async function isBroken(source: string): Promise<boolean> {
  // Compiled before its imports are resolved, of which the added one never can be: so it is never evaluated.
  const text = `${source}\nimport 'byre:none'`
  try {
    await import(`data:text/javascript,${encodeURIComponent(text)}`)
    return false
  } catch (error) {
    return error instanceof SyntaxError
  }
}
