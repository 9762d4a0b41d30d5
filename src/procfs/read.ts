// The only place of procfs/ that touches the file system. Every file of /proc may vanish between two reads: that is a
// value with a reason, never an exception.
//
// Reads are synchronous: procfs answers from kernel memory (2-40 us, smaps_rollup 0.5-1.3 ms), and a trip through the
// thread pool costs more than the read and lets the process change between the parts of one sample.

import { existsSync, readFileSync, readdirSync } from 'node:fs'

/** Where the kernel's files are; a parameter of every reader so that tests can hand in a frozen copy. */
export const PROC_ROOT = '/proc'

/**
 * Why a file could not be read:
 * - `gone`: the process or thread has ended (ENOENT of its folder, ESRCH), or is a zombie or kernel thread (no memory map);
 * - `denied`: EACCES, EPERM; another user's process;
 * - `unsupported`: the process is there, but this kernel has no such file, or there is no procfs;
 * - `malformed`: read, but not in the format proc(5) gives.
 */
export type ProcReason = 'gone' | 'denied' | 'unsupported' | 'malformed'

export interface ProcFailure {
  readonly ok: false
  readonly reason: ProcReason
  readonly path: string
}
export type ProcResult<T> = { readonly ok: true; readonly value: T } | ProcFailure

/** A process id, or the calling process. */
export type Pid = number | 'self'

/** The parsed content of `<root>/<pid>/<file>`; `pid` undefined for a file of the whole machine. */
export function readProc<T>(
  pid: Pid | undefined,
  file: string,
  parse: (text: string) => T | undefined,
  root: string = PROC_ROOT,
): ProcResult<T> {
  const folder = pid === undefined ? root : `${root}/${pid}`
  const path = `${folder}/${file}`
  const raw = attempt(path, folder, () => readFileSync(path, 'utf8'))
  if (!raw.ok) return raw
  const value = parse(raw.value)
  return value === undefined ? { ok: false, reason: 'malformed', path } : { ok: true, value }
}

/** The bytes of a binary file of /proc, such as auxv. */
export function readProcBytes(pid: Pid, file: string, root: string = PROC_ROOT): ProcResult<Buffer> {
  const folder = `${root}/${pid}`
  const path = `${folder}/${file}`
  return attempt(path, folder, () => readFileSync(path))
}

/** The numeric names in a folder of /proc (`''` for the processes themselves), ascending. */
export function listProcNumbers(
  pid: Pid | undefined,
  folder: string,
  root: string = PROC_ROOT,
): ProcResult<number[]> {
  const owner = pid === undefined ? root : `${root}/${pid}`
  const path = folder === '' ? owner : `${owner}/${folder}`
  return attempt(path, owner, () =>
    readdirSync(path)
      .filter((name) => /^\d{1,10}$/.test(name))
      .map(Number)
      .toSorted((a, b) => a - b),
  )
}

function attempt<T>(path: string, folder: string, read: () => T): ProcResult<T> {
  try {
    return { ok: true, value: read() }
  } catch (error) {
    const reason = reasonOf((error as NodeJS.ErrnoException).code, folder)
    if (reason === undefined) throw error
    return { ok: false, reason, path }
  }
}

/** Undefined for what is no answer of procfs (EMFILE, ENOMEM, a bug): that must be seen, not folded into "gone". */
function reasonOf(code: string | undefined, folder: string): ProcReason | undefined {
  if (code === 'ESRCH') return 'gone'
  if (code === 'EACCES' || code === 'EPERM') return 'denied'
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return undefined
  // A missing file of a living process is a kernel without it. The check itself races: a process that ends in between
  // reads as gone, which is true by then.
  return existsSync(folder) || folder === PROC_ROOT ? 'unsupported' : 'gone'
}
