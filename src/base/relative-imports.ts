// Finds the relative imports in a source text without parsing it.

import { dirname, resolve } from 'node:path'

const RELATIVE_IMPORT = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g

/** Returns absolute paths. A match may be inside a comment, and a path may lack its extension. */
export function relativeImports(source: string, file: string): string[] {
  const folder = dirname(file)
  return Array.from(source.matchAll(RELATIVE_IMPORT), (match) => resolve(folder, match[1] as string))
}
