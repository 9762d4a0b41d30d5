// What a source text imports by relative paths, as far as its text tells.

import { dirname, resolve } from 'node:path'

const RELATIVE_IMPORT = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g

/** Absolute paths. What looks like an import may stand in a comment, and a path may lack its extension. */
export function relativeImports(source: string, file: string): string[] {
  const folder = dirname(file)
  return Array.from(source.matchAll(RELATIVE_IMPORT), (match) => resolve(folder, match[1] as string))
}
