// Where byre's own compiled files are. This file lies one folder below their root in a checkout (base/), and so does the chunk
// that has it in the package (chunks/): scripts/bundle.mjs.

const ROOT = new URL('../', import.meta.url)

/** The compiled file `path`, relative to the root: 'watch/stall/thread-entry.js'; '' for the root itself, with a slash. */
export function ownFile(path: string): URL {
  return new URL(path, ROOT)
}
