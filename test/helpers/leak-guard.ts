// First line of every suite that opens anything: fails when a test leaves a timer, socket, file request or child behind.
import { readFileSync } from 'node:fs'

/** The part of a tap test it needs. */
export interface Guarded {
  teardown(fn: () => unknown): void
}

// What the runner itself opens at any time (its pipe to the parent, the console), plus names that come and go with
// every await on the file system of the loader.
const NOT_OURS = new Set(['TTYWrap', 'FSReqPromise', 'FSReqCallback', 'CloseReq'])
const SETTLE_MS = 1000

/**
 * Registers a teardown that fails unless everything opened since is closed: resources that keep the loop alive
 * (process.getActiveResourcesInfo; unref'd timers are not seen) and child processes (/proc). Call it before any other
 * teardown of the same test, since teardowns run last in, first out. Closing takes a few turns of the loop, so it
 * waits up to `settleMs` (1 s) for the count to come down.
 */
export function leakGuard(t: Guarded, settleMs: number = SETTLE_MS): void {
  const resourcesBefore = countResources()
  const childrenBefore = new Set(childPids())
  t.teardown(async () => {
    const endAt = performance.now() + settleMs
    let left = leaks(resourcesBefore, childrenBefore)
    while (left.length > 0 && performance.now() < endAt) {
      await new Promise<void>((resolve) => setTimeout(resolve, 5))
      left = leaks(resourcesBefore, childrenBefore)
    }
    if (left.length > 0) throw new Error(`left behind after the test: ${left.join(', ')}`)
  })
}

/** What is open now and was not then: `Timeout x2`, `child 123 (node)`. */
function leaks(resourcesBefore: ReadonlyMap<string, number>, childrenBefore: ReadonlySet<number>): string[] {
  const found: string[] = []
  for (const [name, count] of countResources()) {
    const extra = count - (resourcesBefore.get(name) ?? 0)
    if (extra > 0) found.push(`${name} x${extra}`)
  }
  for (const pid of childPids()) if (!childrenBefore.has(pid)) found.push(`child ${pid} (${commOf(pid)})`)
  return found
}

function countResources(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of process.getActiveResourcesInfo())
    if (!NOT_OURS.has(name)) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/** Children of every thread of this process: libuv forks from the loop's thread, but a worker thread may fork too. */
export function childPids(pid: number | 'self' = 'self'): number[] {
  const text = readProc(`/proc/${pid}/task/${pid === 'self' ? process.pid : pid}/children`)
  return text.split(' ').filter(Boolean).map(Number)
}

function commOf(pid: number): string {
  return readProc(`/proc/${pid}/comm`).trim() || 'gone'
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
