// The malloc setting that units/byre starts node with. It is removed from the environment of workers and of the programs
// that they start.
//
// glibc serves a large request with mmap and returns the memory to the kernel on free. But each such free raises the
// threshold for mmap (up to 32 MiB, see M_MMAP_THRESHOLD in mallopt(3)). From then on the 32 KiB zones of V8's compilers
// are allocated in the arenas of its threads, where one small live block keeps the free pages around it resident.
// MALLOC_MMAP_THRESHOLD_ fixes the threshold below the size of a zone. docs/decisions.md has the measured figures and the
// cost (streams of 64 KiB reads).

const SETTING = 'MALLOC_MMAP_THRESHOLD_'
/** Set by units/byre together with the setting, unless the user has set MALLOC_MMAP_THRESHOLD_. */
const MARK = 'BYRE_MALLOC'

let taken: Readonly<Record<string, string>> = {}

/**
 * Removes the setting from `env` when the launcher put it there, so that workers and their child processes see the
 * environment that the service manager set. glibc has read the setting by then. Call it once, before any code of a worker
 * runs.
 */
export function takeMallocSetting(env: NodeJS.ProcessEnv): void {
  const value = env[SETTING]
  if (env[MARK] === undefined || value === undefined) return
  taken = { [SETTING]: value, [MARK]: env[MARK] }
  delete env[SETTING]
  delete env[MARK]
}

/** The variables that start a child process with the malloc setting of this process. The child removes them again. */
export function mallocSetting(): Readonly<Record<string, string>> {
  return taken
}
