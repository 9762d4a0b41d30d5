// File paths of modules: from the URL in a stack frame or an import, and for modules that are loaded through a symbolic
// link.

import { fileURLToPath } from 'node:url'

/** Returns the absolute path for a file: URL (without query and fragment) or for a path. Returns undefined for any other
 *  script name: node:, data:, eval, or a malformed URL in a forged stack. */
export function modulePath(url: string): string | undefined {
  if (url.startsWith('/')) return url
  if (!url.startsWith('file:')) return undefined
  try {
    return fileURLToPath(url.replace(/[?#].*$/, ''))
  } catch {
    return undefined
  }
}

/** The path of a module that is a symbolic link, and the file that the link led to at load time. Stack frames name the
 *  file. */
export type Link = readonly [path: string, file: string]

const fileOf = new Map<string, string>()
const pathsOf = new Map<string, string[]>()
let onLink: ((link: Link) => void) | undefined

/** Records that this thread loads the module at `path` from `file`. Nothing is stored when the two are equal. */
export function noteLoaded([path, file]: Link): void {
  const before = fileOf.get(path) ?? path
  if (file === before) return
  pathsOf.set(
    before,
    pathsAt(before).filter((other) => other !== path),
  )
  pathsOf.set(file, [...pathsAt(file), path])
  fileOf.set(path, file)
  onLink?.([path, file])
}

/** Returns the paths by which a config may name the module that was loaded from `file`. */
export function pathsAt(file: string): readonly string[] {
  return pathsOf.get(file) ?? [file]
}

/** Returns the links recorded so far and calls `listener` with each later one. The new listener replaces the previous one. */
export function watchLinks(listener: ((link: Link) => void) | undefined): readonly Link[] {
  onLink = listener
  return [...fileOf]
}
