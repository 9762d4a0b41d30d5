// Starts children with a clean environment. A test runner adds itself to NODE_OPTIONS of every child, even with an explicit
// `env`, which costs 16 MB in each. `/usr/bin/env -i` removes it and execs, so the pid stays the same.

import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { spawn } from 'node:child_process'
import { ByreError } from '../base/errors.ts'

export interface SpawnCleanOptions {
  /** The complete environment; PATH has a default. Values are visible in the process list until the exec: no secrets. @default {} */
  readonly env?: Readonly<Record<string, string>>
  /** @default the working directory of this process */
  readonly cwd?: string
  /** Command that runs the program: `['setarch', '-R']`, `['nice']`. @default [] */
  readonly prefix?: readonly string[]
  /** As in node:child_process. @default three pipes */
  readonly stdio?: SpawnOptions['stdio']
  /** Start in a new session, so that re-parented descendants are found and a signal reaches the group. @default false */
  readonly detached?: boolean
}

/** Debian's default PATH for root; fixed, so that a measurement does not depend on the user. */
export const CLEAN_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Starts `command` with a fixed environment. The caller must end it. A command that cannot be executed exits 127 (not
 * found) or 126 (no permission) with env's message on stderr. Throws BYRE_ARGUMENT_INVALID for an empty command, a program
 * with '=' in its path (env would parse it as a variable) and an invalid variable name.
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
      `Cannot start a command: the program must not be empty, contain '=' or start with '-', got '${first}'. ` +
        'Pass the program and its arguments as separate strings; use a symbolic link for such a path.',
    )
  const bad = Object.keys(env).find((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
  if (bad !== undefined)
    throw new ByreError(
      'BYRE_ARGUMENT_INVALID',
      `Cannot start '${first}': a variable name consists of letters, digits and '_', got '${bad}'. Rename or remove it.`,
    )
}
