// Finds the control sockets of a herd, for `byre status` and the control commands.

import { readdirSync } from 'node:fs'
import { userInfo } from 'node:os'
import { basename, join } from 'node:path'
import { ByreError, describeThrown } from '../base/errors.ts'
import { checkSocketPath, herdDirectory, listSockets, readPlaces, runDirectory } from '../base/places.ts'
import type { PlacesInput } from '../base/places.ts'
import { printError } from './io.ts'

/** The flags of every command that connects to a supervisor. */
export interface ControlFlags {
  readonly config?: string
  readonly group?: string
  readonly socket?: string
  readonly json?: boolean
  /** Sends the command to the whole fleet over this bus instead. */
  readonly bus?: string
}

export interface Sockets {
  /** Undefined when --socket is given. */
  readonly herd?: string
  readonly paths: readonly string[]
  /** The folder that was searched. */
  readonly folder: string
}

/**
 * Finds the sockets that the flags select: the one of --socket, or those of the herd that the config names (with --group,
 * only the one of that group). Without a config in `cwd`, or with one that does not load (a warning goes to stderr), it
 * selects the only herd that has sockets. Returns no paths when the herd has none. Throws BYRE_USAGE when the herd is
 * ambiguous, and BYRE_CONFIG_* when the config cannot be read and there is not exactly one herd.
 */
export async function findSockets(
  flags: ControlFlags,
  places: PlacesInput = readPlaces(),
  cwd: string = process.cwd(),
): Promise<Sockets> {
  if (flags.socket !== undefined) return { paths: [checkSocketPath(flags.socket)], folder: flags.socket }
  const runDir = runDirectory(places)
  const herd =
    (await herdOfConfig(flags.config, cwd).catch((error: unknown) => onlyHerdDespite(error, runDir))) ??
    onlyHerd(runDir)
  const folder = herdDirectory(runDir, herd)
  const paths = listSockets(folder)
  if (flags.group === undefined) return { herd, paths, folder }
  return { herd, folder, paths: paths.filter((path) => basename(path, '.sock') === flags.group) }
}

/** The error when no supervisor has a socket: names the searched folder and the sockets in it. */
export function noSupervisor({ herd, folder }: Sockets, group: string | undefined): ByreError {
  const names = listSockets(folder).map((path) => basename(path, '.sock'))
  const who = group === undefined ? `herd '${herd}'` : `group '${group}' of herd '${herd}'`
  const found = names.length === 0 ? `no control socket in ${folder}` : `${folder} has ${names.join(', ')}`
  return new ByreError(
    'BYRE_CONTROL_UNREACHABLE',
    `Cannot find a running supervisor of ${who}: ${found}. ` +
      'Start one with byre supervise. If it runs as another user or under systemd, pass --socket or set RUNTIME_DIRECTORY.',
    { details: { folder, names } },
  )
}

/** Reads only the name of the config, so that a running herd can be inspected while its config is being edited. Returns
 *  undefined without a config in `cwd`. */
async function herdOfConfig(file: string | undefined, cwd: string): Promise<string | undefined> {
  const config = await configOf(file, cwd)
  if (config === undefined) return undefined
  const name = config['name']
  if (typeof name === 'string') return name
  throw new ByreError(
    'BYRE_CONFIG_INVALID',
    `Cannot determine the herd from the config: it must have a 'name', got ${describeThrown(name).message}. Add one, or pass --socket.`,
  )
}

/** Returns the unchecked export of the config, or undefined without a config in `cwd`. Throws when `file` is given and does
 *  not exist. */
export async function configOf(
  file: string | undefined,
  cwd: string = process.cwd(),
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const { findConfig } = await import('../config/find.ts')
  let path: string
  try {
    path = findConfig(file, cwd)
  } catch (error) {
    if (file === undefined && error instanceof ByreError && error.code === 'BYRE_CONFIG_NOT_FOUND')
      return undefined
    throw error
  }
  const { evaluateFile } = await import('../config/evaluate-file.ts')
  const { exported } = await evaluateFile(path)
  return (typeof exported === 'object' && exported !== null ? exported : {}) as Record<string, unknown>
}

/** Falls back to the only running herd: an invalid config must not prevent control, for example to stop a worker that it
 *  broke. */
async function onlyHerdDespite(error: unknown, runDir: string): Promise<string> {
  if (!(error instanceof ByreError) || error.code !== 'BYRE_CONFIG_INVALID') throw error
  const herds = runningHerds(runDir)
  const [only, another] = herds
  if (only !== undefined && another === undefined) {
    await printError(`byre: ${error.message}\nbyre: Using herd '${only}', the only one that runs here.\n`)
    return only
  }
  const found = only === undefined ? `no herd runs in ${runDir}` : `${runDir} has ${herds.join(', ')}`
  throw new ByreError(
    error.code,
    `${error.message}\nWithout the config, the herd is unknown: ${found}. Pass --socket to select one.`,
    { details: { ...error.details, runDir, herds } },
  )
}

function runningHerds(runDir: string): string[] {
  return foldersOf(runDir).filter((name) => listSockets(join(runDir, name)).length > 0)
}

function onlyHerd(runDir: string): string {
  const herds = runningHerds(runDir)
  const [only, another] = herds
  if (only !== undefined && another === undefined) return only
  const found = only === undefined ? `${runDir} has no running herd` : `${runDir} has ${herds.join(', ')}`
  throw new ByreError(
    only === undefined ? 'BYRE_CONTROL_UNREACHABLE' : 'BYRE_USAGE',
    `Cannot determine the herd: there is no byre.config.* in this folder, and ${found}. Pass --config or --socket.`,
    { details: { runDir, herds } },
  )
}

function foldersOf(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch {
    return [] // No herd has run here yet.
  }
}

/** The user who runs the command, for the log of the supervisor. */
export function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.geteuid?.() ?? 'unknown') // A uid without an entry in passwd, as in containers.
  }
}
