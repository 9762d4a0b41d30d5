// Which worker's code threw, determined from a stack trace.

import { modulePath, pathsAt } from '../base/module-path.ts'

const FRAME_LIMIT = 64
const FRAME = /(?:\(|at (?:async )?)((?:file:\/\/|\/)[^()]*?):(\d+):(\d+)\)?$/

/** Absolute paths of the frames of a V8 stack trace, innermost first, `node:` frames left out, at most 64. */
export function framesOf(stack: string | undefined): string[] {
  if (stack === undefined) return []
  const paths: string[] = []
  for (const line of stack.split('\n')) {
    if (paths.length >= FRAME_LIMIT) break
    const match = FRAME.exec(line.trimEnd())
    const path = match?.[1] === undefined ? undefined : modulePath(match[1])
    if (path !== undefined) paths.push(path)
  }
  return paths
}

export interface StackOwners {
  /** Worker names by the path of the entry module in the config; several when workers share a module. */
  readonly byModule: ReadonlyMap<string, readonly string[]>
  /** byre's own code lies below this folder (with a trailing slash). */
  readonly ownRoot: string
}

/** The owners for `workers`; `ownRoot` is byre's own folder with a trailing slash. */
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

/** The workers whose entry module was loaded from `file`, possibly through a symbolic link in their config. */
export function workersAt(file: string, { byModule }: StackOwners): readonly string[] {
  return pathsAt(file).flatMap((path) => byModule.get(path) ?? [])
}

export type StackOwner =
  | { readonly kind: 'worker'; readonly worker: string }
  /** The innermost frame outside node: is byre's own code. */
  | { readonly kind: 'byre' }
  | { readonly kind: 'unknown' }

/**
 * A stack whose innermost frame is byre's own code belongs to byre. Otherwise it belongs to the worker of the innermost frame
 * that is the entry module of exactly one worker.
 */
export function ownerOfStack(stack: string | undefined, owners: StackOwners): StackOwner {
  const frames = framesOf(stack)
  if (frames[0]?.startsWith(owners.ownRoot) === true) return { kind: 'byre' }
  for (const frame of frames) {
    const [worker, ...others] = workersAt(frame, owners)
    if (worker !== undefined && others.length === 0) return { kind: 'worker', worker }
  }
  return { kind: 'unknown' }
}
