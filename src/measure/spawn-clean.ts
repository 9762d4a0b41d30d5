// Children that see nothing of this process: a test runner puts itself back into NODE_OPTIONS of every child, also when
// an explicit `env` is given (16 MB more in each). `/usr/bin/env -i` undoes it and execs, so the pid stays the same.

import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { spawn } from 'node:child_process'
import { ByreError } from '../base/errors.ts'

export interface SpawnCleanOptions {
  /** The whole environment besides PATH; PATH itself may be given. Values show in the process list until the exec: no secrets. @default {} */
  readonly env?: Readonly<Record<string, string>>
  /** @default this process's */
  readonly cwd?: string
  /** Run through these first: `['setarch', '-R']`, `['nice']`. @default [] */
  readonly prefix?: readonly string[]
  /** As in node:child_process. @default three pipes */
  readonly stdio?: SpawnOptions['stdio']
  /** In a session of its own, so that re-parented descendants are found and a signal reaches the group. @default false */
  readonly detached?: boolean
}

/** Debian's default for root; fixed, so that a measurement does not depend on who starts it. */
export const CLEAN_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Starts `command` with a fixed environment. Who calls it ends it. A command that cannot be executed exits 127 (not
 * found) or 126 (no permission) with env's message on stderr. Throws BYRE_ARGUMENT_INVALID on no command, on a program
 * with '=' in its path (env would take it for a variable) and on a name that is no variable name.
 */
export function spawnClean(command: readonly string[], options: SpawnCleanOptions = {}): ChildProcess {
  const program = [...(options.prefix ?? []), ...command]
  check(program, options.env ?? {})
  const variables = Object.entries({ PATH: CLEAN_PATH, ...options.env }).map(([k, v]) => `${k}=${v}`)
  return spawn('/usr/bin/env', ['-i', ...variables, ...program], {
    stdio: options.stdio ?? ['pipe', 'pipe', 'pipe'],
    detached: options.detached ?? false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
}

function check(program: readonly string[], env: Readonly<Record<string, string>>): void {
  const first = program[0] ?? ''
  if (first === '' || first.startsWith('-') || first.includes('='))
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot start a command: a program path without '=' that does not start with '-' is needed, got '${first}'. ` +
        'Give the program and its arguments as separate strings; reach such a path through a symbolic link.',
    )
  const bad = Object.keys(env).find((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  if (bad !== undefined)
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot start '${first}': a variable name is letters, digits and '_', got '${bad}'. Rename or drop it.`,
    )
}
