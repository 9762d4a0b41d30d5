// Where things of a running herd live on this host: run directory, state directory, control sockets. Pure but for
// readPlaces(), listSockets() and ensureFolder().

import { accessSync, constants, mkdirSync, readdirSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { ByreError, describeThrown } from './errors.ts'

/** What the rules depend on; readPlaces() fills it from the process, tests by hand. */
export interface PlacesInput {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Effective user id. */
  readonly uid: number
  readonly tmpdir: string
  readonly homedir: string
}

/** Which supervise process a socket belongs to: one group, all groups of the herd, or `byre run <worker>`. */
export type SocketOwner =
  | { readonly kind: 'group'; readonly group: string }
  | { readonly kind: 'all' }
  | { readonly kind: 'run'; readonly worker: string }

/** sun_path holds 108 bytes with its NUL (unix(7)); Node cuts a longer path silently and binds another file. */
export const MAX_SOCKET_PATH_BYTES = 107

/** The places of this process. */
export function readPlaces(): PlacesInput {
  return { env: process.env, uid: process.geteuid?.() ?? -1, tmpdir: tmpdir(), homedir: homedir() }
}

/** $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/byre, else /run/byre as root, else <tmpdir>/byre-<uid>. */
export function runDirectory(input: PlacesInput): string {
  const given = firstDirectory(input.env['RUNTIME_DIRECTORY'])
  if (given !== undefined) return given
  const xdg = absolute(input.env['XDG_RUNTIME_DIR'])
  if (xdg !== undefined) return join(xdg, 'byre')
  return input.uid === 0 ? '/run/byre' : join(input.tmpdir, `byre-${input.uid}`)
}

/** $STATE_DIRECTORY, else $XDG_STATE_HOME/byre, else ~/.local/state/byre. */
export function stateDirectory(input: PlacesInput): string {
  const given = firstDirectory(input.env['STATE_DIRECTORY'])
  if (given !== undefined) return given
  const xdg = absolute(input.env['XDG_STATE_HOME'])
  return join(xdg ?? join(input.homedir, '.local', 'state'), 'byre')
}

/** The folder with the sockets of `herd`: <rundir>/<herd>. Throws BYRE_ARGUMENT_INVALID for a name that is no file name. */
export function herdDirectory(runDir: string, herd: string): string {
  return join(runDir, fileName('herd', herd))
}

/** <rundir>/<herd>/<group>.sock, `_all.sock`, or `run-<worker>.sock`; at most 107 bytes. Throws BYRE_SOCKET_PATH_TOO_LONG. */
export function socketPathOf(runDir: string, herd: string, owner: SocketOwner): string {
  return checkSocketPath(join(herdDirectory(runDir, herd), `${socketName(owner)}.sock`))
}

/** Returns `path` when a Unix socket can have it. Throws BYRE_SOCKET_PATH_TOO_LONG (more than 107 bytes of UTF-8). */
export function checkSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path)
  if (bytes <= MAX_SOCKET_PATH_BYTES) return path
  throw new ByreError(
    'BYRE_SOCKET_PATH_TOO_LONG',
    `Cannot use the control socket '${path}': a Unix socket path has at most ${MAX_SOCKET_PATH_BYTES} bytes, got ${bytes}. ` +
      'Pass --socket with a shorter path, or set RUNTIME_DIRECTORY or XDG_RUNTIME_DIR to a shorter directory.',
    { details: { path, bytes } },
  )
}

/** More than any herd has groups; a folder full of other files must not start ten thousand connections. */
const MAX_SOCKETS = 256

/** The sockets in `folder`, sorted by name; none when there is no such folder. Throws on any other error of readdir. */
export function listSockets(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.sock') && !name.startsWith('.'))
    return names
      .toSorted()
      .slice(0, MAX_SOCKETS)
      .map((name) => join(folder, name))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}

/**
 * Creates `folder` and what is missing above it, 0700 each, and checks that it can be written to. One level at a time: on
 * Node 20 mkdir's `recursive` never returns where a parent exists and answers ENOENT (/proc). Throws BYRE_FOLDER_UNUSABLE,
 * which names the variable of `env` the place comes from.
 */
export function ensureFolder(folder: string, env: PlacesInput['env'] = process.env): void {
  const refuse = (at: string, why: string): never => {
    throw unusable(folder, at, why, env)
  }
  const missing: string[] = []
  for (let at = folder; ; at = dirname(at)) {
    const found = lookAt(at)
    if (found === 'folder') break
    if (found !== undefined) refuse(at, found)
    missing.unshift(at)
    if (dirname(at) === at) break
  }
  for (const at of missing) {
    try {
      mkdirSync(at, 0o700)
    } catch (error) {
      if (lookAt(at) !== 'folder') refuse(at, `cannot be created (${describeThrown(error).message})`)
    }
  }
  try {
    accessSync(folder, constants.W_OK | constants.X_OK)
  } catch {
    refuse(folder, 'may not be written to by this user')
  }
}

/** 'folder', why it is none, or undefined when there is nothing. */
function lookAt(path: string): string | undefined {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'is not a folder'
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ENOTDIR' ? undefined : `cannot be looked at (${message})`
  }
}

const PLACE_VARIABLES = ['STATE_DIRECTORY', 'XDG_STATE_HOME', 'RUNTIME_DIRECTORY', 'XDG_RUNTIME_DIR'] as const

function unusable(folder: string, at: string, why: string, env: PlacesInput['env']): ByreError {
  const variable = PLACE_VARIABLES.find((name) => {
    const value = firstDirectory(env[name])
    return value !== undefined && `${folder}/`.startsWith(`${join(value, '.')}/`)
  })
  const remedy =
    variable === undefined
      ? 'Set STATE_DIRECTORY or XDG_STATE_HOME (state), RUNTIME_DIRECTORY or XDG_RUNTIME_DIR (sockets) to a folder this user may write to.'
      : `It comes from ${variable}=${env[variable]}: set that to a folder this user may write to.`
  return new ByreError(
    'BYRE_FOLDER_UNUSABLE',
    `Cannot use the folder '${folder}': '${at}' ${why}. ${remedy}`,
    {
      details: { folder, at, ...(variable === undefined ? {} : { variable }) },
    },
  )
}

function socketName(owner: SocketOwner): string {
  if (owner.kind === 'all') return '_all'
  return owner.kind === 'group' ? fileName('group', owner.group) : `run-${fileName('worker', owner.worker)}`
}

/** Names reach this from the command line too, not only from a checked config: they must not leave their folder. */
function fileName(kind: string, name: string): string {
  if (/^[^/\p{Cc}]{1,100}$/u.test(name) && name !== '.' && name !== '..') return name
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    `Cannot find the place of ${kind} ${JSON.stringify(name.slice(0, 120))}: a ${kind} name is 1 to 100 characters without '/' or control characters. Use the name from the config.`,
  )
}

/** systemd gives several directories separated by colons; the first is ours. A relative path is ignored, as XDG asks. */
function firstDirectory(value: string | undefined): string | undefined {
  return absolute(value?.split(':')[0])
}

function absolute(value: string | undefined): string | undefined {
  return value !== undefined && isAbsolute(value) ? value : undefined
}
