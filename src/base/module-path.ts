// Where the code of a stack frame or an import lies.

import { fileURLToPath } from 'node:url'

/** Absolute path of a file: URL (its query and fragment left out) or of a path; undefined for anything else a script may
 *  call itself: node:, data:, eval, a malformed URL in a forged stack. */
export function modulePath(url: string): string | undefined {
  if (url.startsWith('/')) return url
  if (!url.startsWith('file:')) return undefined
  try {
    return fileURLToPath(url.replace(/[?#].*$/, ''))
  } catch {
    return undefined
  }
}
