// Finds the control sockets of a herd and asks them. What `byre status` and the control commands share.

import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ByreError, describeThrown } from '../base/errors.ts'
import { checkSocketPath, herdDirectory, listSockets, readPlaces, runDirectory } from '../base/places.ts'
import type { PlacesInput } from '../base/places.ts'
import { printError } from './io.ts'

/** The flags every command that talks to a supervisor has. */
export interface ControlFlags {
  readonly config?: string
  readonly group?: string
  readonly socket?: string
  readonly json?: boolean
  /** Asks the whole fleet over this bus instead. */
  readonly bus?: string
}

export interface Sockets {
  /** Unknown when --socket was given. */
  readonly herd?: string
  readonly paths: readonly string[]
  /** Where they were looked for. */
  readonly folder: string
}

/**
 * The sockets the flags speak of: --socket; or those of the herd the config names (of --group only, if given); or,
 * without a config here, or with one that does not load (a warning on stderr says so), of the only herd that has any. Empty
 * when the herd has none. Throws BYRE_USAGE when it is not clear which herd is meant, BYRE_CONFIG_* when the config cannot
 * be read and does not leave one herd to be meant.
 */
export async function findSockets(
  flags: ControlFlags,
  places: PlacesInput = readPlaces(),
  cwd: string = process.cwd(),
): Promise<Sockets> {
  if (flags.socket !== undefined) return { paths: [checkSocketPath(flags.socket)], folder: flags.socket }
  const runDir = runDirectory(places)
  const herd =
    (await herdOfConfig(flags.config, cwd).catch((error: unknown) => herdDespite(error, runDir))) ??
    onlyHerd(runDir)
  const folder = herdDirectory(runDir, herd)
  const paths = listSockets(folder)
  if (flags.group === undefined) return { herd, paths, folder }
  return { herd, folder, paths: paths.filter((path) => basename(path, '.sock') === flags.group) }
}

/** What to say when nobody listens: where was looked, and what is there. */
export function noSupervisor({ herd, folder }: Sockets, group: string | undefined): ByreError {
  const names = listSockets(folder).map((path) => basename(path, '.sock'))
  const who = group === undefined ? `herd '${herd}'` : `group '${group}' of herd '${herd}'`
  const found = names.length === 0 ? `no control socket in ${folder}` : `${folder} has ${names.join(', ')}`
  return new ByreError(
    'BYRE_CONTROL_UNREACHABLE',
    `Cannot find a running supervisor of ${who}: ${found}. ` +
      'Start one with byre supervise; if it runs as another user or under systemd, pass --socket or set RUNTIME_DIRECTORY.',
    { details: { folder, names } },
  )
}

/** Only its name is read: a running herd can be looked at while its config is being changed. Undefined without a config here. */
async function herdOfConfig(file: string | undefined, cwd: string): Promise<string | undefined> {
  const config = await configOf(file, cwd)
  if (config === undefined) return undefined
  const name = config['name']
  if (typeof name === 'string') return name
  throw new ByreError(
    'BYRE_CONFIG_INVALID',
    `Cannot tell the herd from the config: it must have a 'name', got ${describeThrown(name).message}. Add one, or pass --socket.`,
  )
}

/** The config as it is written, unchecked. Undefined without one here; throws when the `file` that was named is none. */
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

/** A config in the middle of a change must not take control away, least of all from who wants to stop what it broke. */
async function herdDespite(error: unknown, runDir: string): Promise<string> {
  if (!(error instanceof ByreError) || error.code !== 'BYRE_CONFIG_INVALID') throw error
  const herds = runningHerds(runDir)
  const [only, another] = herds
  if (only !== undefined && another === undefined) {
    await printError(`byre: ${error.message}\nbyre: Asking herd '${only}', the only one that runs here.\n`)
    return only
  }
  const found = only === undefined ? `no herd runs in ${runDir}` : `${runDir} has ${herds.join(', ')}`
  throw new ByreError(
    error.code,
    `${error.message}\nWithout it the herd is not known: ${found}. Pass --socket to ask one all the same.`,
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
    `Cannot tell which herd is meant: there is no byre.config.* in this folder, and ${found}. Pass --config or --socket.`,
    { details: { runDir, herds } },
  )
}

function foldersOf(path: string): string[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch {
    return [] // no herd has run here yet
  }
}
