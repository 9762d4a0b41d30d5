// How the units of a herd are called.

/** Hosts one group. */
export function groupUnit(herd: string, group: string): string {
  return `byre-${herd}-${group}.service`
}

/** Runs one worker alone. `pattern` for units that are there already: `%w` stands for the worker, `%h` for the herd. */
export function workerUnit(herd: string, worker: string, pattern = 'byre-%h@%w.service'): string {
  return pattern.replaceAll('%w', worker).replaceAll('%h', herd)
}

/** Ends at boot what a swap left half-done. */
export function resumeUnit(herd: string): string {
  return `byre-swap-resume@${herd}.service`
}
