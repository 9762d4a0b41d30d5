// Where the code of a stack frame, an import or a worker lies.

import { fileURLToPath } from 'node:url'

/** Absolute path of a file: URL (its query and fragment left out) or of a path; undefined for anything else a script may
 *  call itself: node:, data:, eval, a malformed URL in a forged stack. */
export function modulePath(url: string): string | undefined {
  if (url.startsWith('/')) return url
  if (!url.startsWith('file:')) return undefined
  try {
    return fileURLToPath(url.replace(/[?#].*$/, ''))
  } catch {
    return undefined
  }
}

/** A module named through a symbolic link, and the file that led to when it was loaded: what its frames carry. */
export type Link = readonly [path: string, file: string]

const fileOf = new Map<string, string>()
const pathsOf = new Map<string, string[]>()
let tell: ((link: Link) => void) | undefined

/** Notes that this thread loads the module at `path` from `file`. Nothing is kept where they are the same. */
export function noteLoaded([path, file]: Link): void {
  const before = loadedFrom(path)
  if (file === before) return
  pathsOf.set(
    before,
    pathsAt(before).filter((other) => other !== path),
  )
  pathsOf.set(file, [...pathsAt(file), path])
  fileOf.set(path, file)
  tell?.([path, file])
}

/** The file that the module at `path` was loaded from; `path` itself when no link leads elsewhere, and before it is loaded. */
export function loadedFrom(path: string): string {
  return fileOf.get(path) ?? path
}

/** Where a config may say that the module lies that was loaded from `file`. */
export function pathsAt(file: string): readonly string[] {
  return pathsOf.get(file) ?? [file]
}

/** The links noted so far; each later one is told to `listener`, which replaces the one before. */
export function watchLinks(listener: ((link: Link) => void) | undefined): readonly Link[] {
  tell = listener
  return [...fileOf]
}
