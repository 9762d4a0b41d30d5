// Finds the config file: the given one, or the only byre.config.* in the folder.

import { type Stats, statSync } from 'node:fs'
import { extname, join, resolve } from 'node:path'
import { ByreError } from '../base/errors.ts'
import { MAX_FILE_BYTES } from './defaults.ts'
import { show } from './problems.ts'

/** The file names that are searched. More than one in a folder is refused. */
const CONFIG_NAMES = ['byre.config.js', 'byre.config.mjs', 'byre.config.json', 'byre.config.ts'] as const

const EXTENSIONS = ['.js', '.mjs', '.cjs', '.json', '.ts', '.mts']

/** Returns the absolute path of the config. `file` resolves against `cwd`. Without `file`, only `cwd` is searched and not its
 *  parents. Throws BYRE_CONFIG_NOT_FOUND when there is no config, and BYRE_CONFIG_INVALID when there are several or the file
 *  is not a regular file, has an unknown extension or is larger than MAX_FILE_BYTES. */
export function findConfig(file: string | undefined, cwd: string): string {
  const path = file === undefined ? searchFolder(cwd) : resolve(cwd, file)
  const stat = statOf(path)
  if (stat === undefined) {
    throw new ByreError(
      'BYRE_CONFIG_NOT_FOUND',
      `Cannot read the config ${quote(path)}: no such file. Check --config`,
      {
        details: { file: path },
      },
    )
  }
  const reason = stat.isDirectory() ? 'it is a folder. Pass the file in it' : reasonFile(path, stat)
  if (reason !== undefined) throw invalid(path, reason)
  return path
}

function searchFolder(cwd: string): string {
  const found = CONFIG_NAMES.map((name) => join(cwd, name)).filter((path) => statOf(path)?.isFile() === true)
  const [first, second] = found
  if (first === undefined) {
    throw new ByreError(
      'BYRE_CONFIG_NOT_FOUND',
      `Cannot find a config in ${quote(cwd)}: it has none of ${CONFIG_NAMES.join(', ')}. Pass --config FILE, or create one`,
      { details: { cwd } },
    )
  }
  if (second === undefined) return first
  throw invalid(first, `${found.map(quote).join(' and ')} both exist. Remove one, or pass --config FILE`)
}

function reasonFile(path: string, stat: Stats): string | undefined {
  if (!stat.isFile()) return 'it is not a regular file'
  const extension = extname(path)
  if (!EXTENSIONS.includes(extension))
    return `its name must end in ${EXTENSIONS.join(', ')}, got '${extension}'`
  if (stat.size <= MAX_FILE_BYTES) return undefined
  return `it must have at most ${MAX_FILE_BYTES} bytes, got ${stat.size}. Move data to separate files`
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === 'ENOTDIR' || code === 'ENAMETOOLONG' || code === 'ENOENT') return undefined
    throw invalid(path, `it cannot be accessed (${String(code)})`)
  }
}

function invalid(file: string, reason: string): ByreError {
  return new ByreError('BYRE_CONFIG_INVALID', `Cannot read the config ${quote(file)}: ${reason}`, {
    details: { file },
  })
}

function quote(path: string): string {
  return show(path, 1024)
}
