// The malloc setting units/byre starts node with, and how it is kept from whom it is not for.
//
// glibc serves a large request by mmap and gives it back with free, unless it has learned better: each such free raises
// the threshold (up to 32 MiB, mallopt(3), M_MMAP_THRESHOLD), and from then on the 32 KiB zones of V8's compilers lie in
// the arenas of its threads, where one small survivor keeps the pages above it. MALLOC_MMAP_THRESHOLD_ fixes it below the
// size of a zone. Measured figures and the price (streams of 64 KiB reads): docs/decisions.md.

const SETTING = 'MALLOC_MMAP_THRESHOLD_'
/** Set by units/byre beside the setting when that is its own and not the user's. */
const MARK = 'BYRE_MALLOC'

let taken: Readonly<Record<string, string>> = {}

/**
 * Takes the setting, which glibc has read, out of `env` when the launcher put it there: workers and what they spawn see
 * the environment the service manager gave. Once, before any worker's code.
 */
export function takeMallocSetting(env: NodeJS.ProcessEnv): void {
  const value = env[SETTING]
  if (env[MARK] === undefined || value === undefined) return
  taken = { [SETTING]: value, [MARK]: env[MARK] }
  delete env[SETTING]
  delete env[MARK]
}

/** What a child that runs a worker is given, so that it starts as this process did; it takes it again. */
export function mallocSetting(): Readonly<Record<string, string>> {
  return taken
}
