// Was it the kernel that killed a process, for want of memory? Its cgroup counts such kills: the count before and after
// tells. Loaded with the first worker in a process.

import { findOomFile, readOomKills } from '../procfs/oom-kills.ts'
import type { ProcFailure } from '../procfs/read.ts'

export type OomFinding =
  | {
      /** Kills in its cgroup while it ran. */
      readonly oomKills: number
      readonly file: string
      /** The supervisor is in the same cgroup: a kill there may have been another process. */
      readonly shared: boolean
    }
  | { readonly unavailable: string }

/** Counts from now on; `pid` is running. The returned function may be called when it is gone. */
export function witnessOom(pid: number): () => OomFinding {
  const file = findOomFile(pid)
  if (!file.ok) return () => ({ unavailable: reasonOf(file) })
  const before = readOomKills(file.value)
  const own = findOomFile('self')
  return () => {
    const after = readOomKills(file.value)
    if (!before.ok) return { unavailable: reasonOf(before) }
    if (!after.ok) return { unavailable: reasonOf(after) }
    const shared = own.ok && own.value === file.value
    return { oomKills: after.value - before.value, file: file.value, shared }
  }
}

function reasonOf({ path, reason }: ProcFailure): string {
  return `${path} is ${reason}`
}
