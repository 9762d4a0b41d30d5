// `byre units`: prints or writes the systemd units of the config, or explains their permissions (--explain).

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseDurationMs } from '../../base/durations.ts'
import { ByreError } from '../../base/errors.ts'
import { EXIT } from '../../base/exit-codes.ts'
import { ownFile } from '../../base/own-files.ts'
import { loadHerd } from '../../config/load.ts'
import type { ResolvedHerd } from '../../config/types.ts'
import { explainUnits } from '../../report/units-explain.ts'
import { grantsOf, proposeSplits } from '../../systemd/grants.ts'
import { herdUnits, unitHeader } from '../../systemd/herd-units.ts'
import type { UnitFile } from '../../systemd/herd-units.ts'
import { groupUnit } from '../../systemd/unit-names.ts'
import { columns, print, printError } from '../io.ts'

export interface UnitsFlags {
  readonly config?: string
  readonly out?: string
  readonly explain?: boolean
  readonly user?: string
  readonly individual?: string
  readonly watchdog?: string
  readonly json?: boolean
}

/** Prints the units, writes them to --out, or prints their permissions (--explain). Returns 0. Throws BYRE_CONFIG_*,
 *  BYRE_USAGE, BYRE_UNITS_TEXT when systemd cannot read a path, and BYRE_UNITS_FOREIGN when --out has a file of the same name
 *  that was not generated from this config. In that case nothing is written. */
export async function units(flags: UnitsFlags): Promise<number> {
  const { config: file } = flags
  const herd = await loadHerd({ cwd: process.cwd(), ...(file === undefined ? {} : { file }) })
  if (flags.explain === true) {
    const width = columns()
    await print(
      flags.json === true ? json(explained(herd)) : explainUnits(herd, width === undefined ? {} : { width }),
    )
    return EXIT.ok
  }
  const files = herdUnits(herd, {
    install: {
      unitsFolder: unitsFolder(),
      nodeFolder: dirname(process.execPath),
      user: checkUser(flags.user ?? 'byre'),
    },
    watchdogMs: watchdogMs(flags.watchdog ?? '30s'),
    ...(flags.individual === undefined ? {} : { individual: checkPattern(flags.individual) }),
  })
  if (flags.out !== undefined) {
    writeFiles(resolve(flags.out), files, unitHeader(herd))
    await reportObsolete(resolve(flags.out), files, unitHeader(herd))
  }
  if (flags.json === true) await print(json({ herd: herd.name, out: flags.out, units: files }))
  else if (flags.out === undefined)
    await print(files.map(({ name, text }) => `# ---- ${name}\n${text}`).join('\n'))
  else await print(`${files.map(({ name }) => join(flags.out!, name)).join('\n')}\n`)
  return EXIT.ok
}

/** The folder units/ of the package, next to dist/. */
export function unitsFolder(): string {
  return fileURLToPath(ownFile('../units'))
}

function explained(herd: ResolvedHerd): object {
  const groups = [...new Set(herd.workers.map(({ group }) => group))].map((group) => {
    const workers = herd.workers.filter((worker) => worker.group === group)
    return {
      group,
      unit: groupUnit(herd.name, group),
      workers: workers.map(({ name }) => name),
      grants: grantsOf(herd, workers),
      splits: proposeSplits(herd, workers),
    }
  })
  return { herd: herd.name, groups }
}

function json(value: object): string {
  return `${JSON.stringify({ version: 1, ...value }, undefined, 2)}\n`
}

/** Writes all files or none: foreign files are found before the first write. */
function writeFiles(folder: string, files: readonly UnitFile[], header: string): void {
  mkdirSync(folder, { recursive: true })
  const foreign = files.filter(({ name }) => {
    const first = firstLine(join(folder, name))
    // byre.slice is the same for all herds.
    return first !== undefined && first !== header && name !== 'byre.slice'
  })
  if (foreign.length > 0)
    throw new ByreError(
      'BYRE_UNITS_FOREIGN',
      `Cannot write units to '${folder}': existing files must begin with '${header}', but ${foreign
        .map(({ name }) => `'${name}'`)
        .join(', ')} ${foreign.length === 1 ? 'does' : 'do'} not. Move them away, or pass another --out.`,
    )
  for (const { name, text } of files) writeAtomically(join(folder, name), text)
}

/** Reports units of removed workers and groups, which otherwise keep running and start at boot. */
async function reportObsolete(folder: string, files: readonly UnitFile[], header: string): Promise<void> {
  const made = new Set(files.map(({ name }) => name))
  const left = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.service'))
    .map(({ name }) => name)
    .filter((name) => !made.has(name) && firstLine(join(folder, name)) === header)
  if (left.length > 0)
    await printError(
      `byre: units in '${folder}' that this config no longer generates: ${left.join(', ')}. Run systemctl disable --now for those that are not needed, and remove them.\n`,
    )
}

function firstLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n', 1)[0]
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Replaces the file atomically, since systemd may reload at any moment. */
function writeAtomically(path: string, text: string): void {
  const fd = openSync(`${path}.new`, 'w', 0o644)
  try {
    writeFileSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(`${path}.new`, path)
}

function checkUser(user: string): string {
  if (/^[a-z_][a-z0-9_-]{0,31}$/i.test(user)) return user
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --user: it must be a system user such as 'byre', got '${user}'.`,
  )
}

function checkPattern(pattern: string): string {
  if (pattern.includes('%w') && /^[\w%:.@\\-]+\.service$/.test(pattern)) return pattern
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --individual: it must be a unit name with %w for the worker, such as 'shop-%w.service', got '${pattern}'.`,
  )
}

function watchdogMs(text: string): number {
  const ms = parseDurationMs(text)
  if (ms !== undefined && ms >= 1000 && ms <= 3_600_000) return ms
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --watchdog: it must be a duration from 1s to 1h, got '${text}'.`,
  )
}
