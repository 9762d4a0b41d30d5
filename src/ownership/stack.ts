// Which worker's code threw, determined from a stack trace.

import { modulePath, pathsAt } from '../base/module-path.ts'
import { entriesReaching } from '../imports/table.ts'
import type { ReachTable } from '../imports/table.ts'

const FRAME_LIMIT = 64
const FRAME = /^\s*at (?:.*\()?((?:file:\/\/|\/)[^()]*?):(\d+):(\d+)\)?$/
/** The code at such a frame awaited what was rejected: it did not throw, and did not run. */
const AWAITING = /^\s*at async /

/** Absolute paths of the frames of a V8 stack trace, innermost first, at most 64. Frames of `node:` and of code that only
 *  awaited the result are left out. */
export function framesOf(stack: string | undefined): string[] {
  if (stack === undefined) return []
  const paths: string[] = []
  for (const line of stack.split('\n')) {
    if (paths.length >= FRAME_LIMIT) break
    const match = AWAITING.test(line) ? null : FRAME.exec(line.trimEnd())
    const path = match?.[1] === undefined ? undefined : modulePath(match[1])
    if (path !== undefined) paths.push(path)
  }
  return paths
}

/** Whether code below `root` is on the stack. */
export function hasFrameOf(stack: string | undefined, root: string): boolean {
  return framesOf(stack).some((path) => path.startsWith(root))
}

/** Plain data: it can be sent to a thread. */
export interface StackOwners {
  /** Worker names by the path of the entry module in the config; several when workers share a module. */
  readonly byModule: ReadonlyMap<string, readonly string[]>
  /** byre's own code lies below this folder (with a trailing slash). */
  readonly ownRoot: string
  /** The entry modules that reach each file; undefined until the imports have been read (code-owners.ts). */
  readonly reach?: ReachTable | undefined
  /** Paths in the config of the entry modules that this loop has loaded. Only these can own code. @default all */
  readonly loaded?: ReadonlySet<string> | undefined
}

/** The owners for `workers` by entry module alone; `ownRoot` is byre's own folder with a trailing slash. */
export function stackOwners(
  workers: Iterable<{ readonly name: string; readonly source: { readonly path: string } }>,
  ownRoot: string,
): StackOwners {
  const byModule = new Map<string, string[]>()
  for (const { name, source } of workers) {
    const names = byModule.get(source.path) ?? []
    names.push(name)
    byModule.set(source.path, names)
  }
  return { byModule, ownRoot }
}

/**
 * The workers that own `file`: those of the only entry module that reaches it. Without the imports, those whose entry module
 * `file` is, possibly through a symbolic link in their config. Several only when they share that module; empty for a file that
 * two entry modules, or a worker and byre, reach.
 */
export function workersAt(file: string, { byModule, reach, loaded }: StackOwners): readonly string[] {
  const reached = reach === undefined ? undefined : entriesReaching(reach, file)
  const entries =
    reached === undefined
      ? pathsAt(file).filter((path) => byModule.has(path))
      : reached.filter((path) => path === '' || loaded?.has(path) !== false)
  const [entry, ...others] = entries
  if (entry === undefined || others.length > 0) return []
  return byModule.get(entry) ?? []
}

/** The worker that alone owns `file`. */
export function workerAt(file: string, owners: StackOwners): string | undefined {
  const [worker, ...others] = workersAt(file, owners)
  return others.length === 0 ? worker : undefined
}

export type StackOwner =
  | { readonly kind: 'worker'; readonly worker: string }
  /** The innermost frame outside node: is byre's own code. */
  | { readonly kind: 'byre' }
  | { readonly kind: 'unknown' }

/**
 * A stack whose innermost frame is byre's own code belongs to byre. Otherwise it belongs to the worker of the innermost frame
 * that one worker alone owns.
 */
export function ownerOfStack(stack: string | undefined, owners: StackOwners): StackOwner {
  const frames = framesOf(stack)
  if (frames[0]?.startsWith(owners.ownRoot) === true) return { kind: 'byre' }
  for (const frame of frames) {
    const worker = workerAt(frame, owners)
    if (worker !== undefined) return { kind: 'worker', worker }
  }
  return { kind: 'unknown' }
}

/** Whether the answer of `ownerOfStack` may change when the imports have been read: code further in than an entry module may
 *  belong to another worker. */
export function needsImports(stack: string | undefined, owners: StackOwners): boolean {
  if (owners.reach !== undefined) return false
  const outside = framesOf(stack)
  if (outside[0]?.startsWith(owners.ownRoot) === true) return false
  const innermost = outside.find((frame) => !frame.startsWith(owners.ownRoot))
  return innermost !== undefined && workersAt(innermost, owners).length === 0
}
