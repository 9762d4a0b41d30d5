// Locates byre's own compiled files. This file is one folder below their root, in a checkout (base/) as well as in the
// package (chunks/, see scripts/bundle.mjs).

const ROOT = new URL('../', import.meta.url)

/** Returns the URL of the compiled file `path` (such as 'watch/stall/thread-entry.js'), or of the root folder for ''. */
export function ownFile(path: string): URL {
  return new URL(path, ROOT)
}
