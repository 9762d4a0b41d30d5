// Where a run is measured: a cgroup of its own, one in a scope that systemd-run gives, or none; and which way it was.

import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ByreError } from '../base/errors.ts'
import type { Launched } from './launcher.ts'
import { launch, launcherMissing } from './launcher.ts'
import type { CgroupTry, MemoryCgroup } from './memory-cgroup.ts'
import { createMemoryCgroup, delegatedCgroup } from './memory-cgroup.ts'

export interface Placed {
  readonly cgroup: MemoryCgroup | undefined
  /** The way taken, or why there is no cgroup. */
  readonly way: string
  /** Starts the launcher, or gives the one that waits already; once. */
  launch(): Promise<Launched>
  /** When nothing was launched: ends a launcher that waits in a scope. */
  release(): void
}

interface PlaceOptions {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly scopes: boolean
  readonly useCgroup: boolean
}

let serial = 0

/** Throws BYRE_UNSUPPORTED where no launcher can run. Everything else is a way or a reason. */
export async function place(command: readonly string[], options: PlaceOptions): Promise<Placed> {
  const missing = launcherMissing()
  if (missing !== undefined)
    throw new ByreError('BYRE_UNSUPPORTED', `Cannot measure a command: ${missing}. Install perl-base.`)
  const name = `${++serial}`
  const own: CgroupTry = options.useCgroup
    ? createMemoryCgroup(name)
    : { ok: false, reason: 'no cgroup was wanted (--sampled)' }
  const start = (): Promise<Launched> => launch(command, options)
  if (own.ok) return { cgroup: own.cgroup, way: own.way, launch: start, release: () => {} }
  if (!options.useCgroup || !options.scopes || !hasSystemd(options.env))
    return { cgroup: undefined, way: own.reason, launch: start, release: () => {} }
  return placeInScope(command, options, name, own.reason)
}

/** The scope must live before its cgroup can be divided, so here the launcher is started first. */
async function placeInScope(
  command: readonly string[],
  options: PlaceOptions,
  name: string,
  reason: string,
): Promise<Placed> {
  const user = process.getuid?.() === 0 ? [] : ['--user']
  const prefix = ['systemd-run', ...user, '--scope', '--quiet', '--collect', '-p', 'Delegate=yes']
  let launched: Launched
  try {
    launched = await launch(command, { ...options, prefix })
  } catch (error) {
    const why = `${reason}; systemd-run gave no scope (${(error as Error).message.slice(0, 200)})`
    return { cgroup: undefined, way: why, launch: () => launch(command, options), release: () => {} }
  }
  const divided = delegatedCgroup(launched.launcherPid, name)
  let taken = false
  return {
    cgroup: divided.ok ? divided.cgroup : undefined,
    way: divided.ok
      ? `systemd-run ${user.join(' ')} --scope: ${divided.way}`
      : `${reason}; ${divided.reason}`,
    launch() {
      taken = true
      return Promise.resolve(launched)
    },
    release() {
      if (!taken) launched.kill()
    },
  }
}

function hasSystemd(env: NodeJS.ProcessEnv): boolean {
  const found = (env['PATH'] ?? '')
    .split(delimiter)
    .some((folder) => isExecutable(join(folder, 'systemd-run')))
  if (!found) return false
  // Without a manager systemd-run waits for its bus to time out.
  return (
    isExecutable('/run/systemd/system') && (process.getuid?.() === 0 || env['XDG_RUNTIME_DIR'] !== undefined)
  )
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
