// The `stdio` of a child process that would inherit the standard streams of a process with several workers. Pure.

/** Descriptors for the child's stdout and stderr. */
export type OutputFds = readonly [stdout: number, stderr: number]

/**
 * Replaces the entries with which the child would inherit descriptor 1 or 2 of this process by `fds()`, which is called only
 * then, and those for descriptor 0 by an empty stdin. Any other value is returned as it is, for Node to use or refuse.
 */
export function replaceInherited(stdio: unknown, fds: () => OutputFds | undefined): unknown {
  const entries: unknown = stdio === 'inherit' ? ['inherit', 'inherit', 'inherit'] : stdio
  if (!Array.isArray(entries)) return stdio
  const sources = entries.map(inheritedFd)
  const output = sources.some((fd) => fd === 1 || fd === 2) ? fds() : undefined
  return entries.map((entry: unknown, i) => {
    const fd = sources[i]
    if (fd === 0) return 'ignore'
    return fd === 1 || fd === 2 ? (output?.[fd - 1] ?? entry) : entry
  })
}

/** As Node reads an entry (getValidStdio in lib/internal/child_process.js). */
function inheritedFd(entry: unknown, index: number): number | undefined {
  if (entry === 'inherit') return index
  const fd = typeof entry === 'object' && entry !== null ? (entry as { fd?: unknown }).fd : entry
  return typeof fd === 'number' ? fd : undefined
}
