// Has the code of a worker changed on disk since it was loaded? First-party files only: the entry and what it
// reaches by relative imports. Asked by status and restart, never on a timer.

import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Files looked at per question. */
const FILES_MAX = 200
const RELATIVE_IMPORT = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*['"](\.{1,2}\/[^'"\n]+)['"]/g

/** True when a file was modified (or removed) after `loadedAt`, ms since the epoch. */
export function codeChangedSince(entry: string, loadedAt: number): boolean {
  const seen = new Set([entry])
  for (const path of seen) {
    try {
      if (statSync(path).mtimeMs > loadedAt) return true
      if (seen.size >= FILES_MAX) continue
      for (const match of readFileSync(path, 'utf8').matchAll(RELATIVE_IMPORT))
        seen.add(resolve(dirname(path), match[1] as string))
    } catch {
      // What looks like an import may stand in a comment or need an extension; only the entry itself must be there.
      if (path === entry) return true
    }
  }
  return false
}
