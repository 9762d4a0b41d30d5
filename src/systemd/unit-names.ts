// Names of the units of a herd.

/** The unit that hosts a group. */
export function groupUnit(herd: string, group: string): string {
  return `byre-${herd}-${group}.service`
}

/** The unit that runs one worker alone. `pattern` is for existing units: `%w` is replaced by the worker, `%h` by the
 *  herd. */
export function workerUnit(herd: string, worker: string, pattern = 'byre-%h@%w.service'): string {
  return pattern.replaceAll('%w', worker).replaceAll('%h', herd)
}

/** The unit that completes or rolls back an interrupted swap at boot. */
export function resumeUnit(herd: string): string {
  return `byre-swap-resume@${herd}.service`
}
