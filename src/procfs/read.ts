// Reads files of /proc. A file may vanish between two reads: the result then carries a reason instead of an exception.
//
// Reads are synchronous: procfs answers from kernel memory (2-40 us, smaps_rollup 0.5-1.3 ms). An asynchronous read costs
// more than that in the thread pool and lets the process change between the parts of one sample.

import { existsSync, readFileSync, readdirSync } from 'node:fs'

/** Mount point of procfs; a parameter of every reader so that tests can pass a folder with copies. */
export const PROC_ROOT = '/proc'

/**
 * Why a file could not be read:
 * - `gone`: the process or thread has ended (ENOENT for its folder, ESRCH), or is a zombie or kernel thread (no memory map);
 * - `denied`: EACCES or EPERM, as for another user's process;
 * - `unsupported`: the process exists, but this kernel has no such file, or procfs is not mounted;
 * - `malformed`: the content does not have the format that proc(5) documents.
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

/** The parsed content of `<root>/<pid>/<file>`, or of `<root>/<file>` when `pid` is undefined. */
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

/** The bytes of a binary file in /proc, such as auxv. */
export function readProcBytes(pid: Pid, file: string, root: string = PROC_ROOT): ProcResult<Buffer> {
  const folder = `${root}/${pid}`
  const path = `${folder}/${file}`
  return attempt(path, folder, () => readFileSync(path))
}

/** The numeric names in a folder of /proc, ascending; with `pid` undefined and folder '', the pids of all processes. */
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

/** Returns undefined for errors that procfs does not return (EMFILE, ENOMEM, a bug): the caller throws those. */
function reasonOf(code: string | undefined, folder: string): ProcReason | undefined {
  if (code === 'ESRCH') return 'gone'
  if (code === 'EACCES' || code === 'EPERM') return 'denied'
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return undefined
  // If the process is alive, this kernel has no such file. The check races with the process: one that ends before it is
  // reported as gone, which is correct by then.
  return existsSync(folder) || folder === PROC_ROOT ? 'unsupported' : 'gone'
}
