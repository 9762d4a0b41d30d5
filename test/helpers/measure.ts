// `byre measure` as people run it: a clean process in a folder of its own; its result, and that nothing is left behind.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { MeasureResult } from '../../src/measure/result.ts'
import { startCleanNode } from './clean-node.ts'
import type { CleanResult, RunningNode } from './clean-node.ts'
import { within } from './events.ts'
import type { Lines } from './events.ts'

export const BIN = join(dirname(fileURLToPath(import.meta.url)), '../../src/bin.js')

export interface Measured extends CleanResult {
  readonly result: MeasureResult
}

export interface Teardown {
  teardown(fn: () => unknown): void
}

export function folderFor(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'byre-measure-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Every process of byre measure that this file started. */
const started = new Set<number>()

/** Starts `byre measure ...args` in `cwd`. */
export function startMeasure(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): RunningNode {
  const byre = startCleanNode([BIN, 'measure', ...args], { cwd, env: { HOME: cwd, ...env } })
  started.add(byre.pid)
  return byre
}

/** Runs `byre measure ...args` in `cwd`; throws when it printed no result. */
export async function runMeasure(
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Measured> {
  const byre = startMeasure(args, cwd, env)
  try {
    const { code, signal } = await within(byre.exit, 'the end of byre measure', 60_000)
    const [stdout, stderr] = [await textOf(byre.stdout), await textOf(byre.stderr)]
    const result = parseResult(stdout)
    if (result === undefined) throw new Error(`no result line (exit ${code}): ${stdout}${stderr}`)
    return { code, signal, stdout, stderr, result }
  } finally {
    await byre.kill()
  }
}

const textOf = async (lines: Lines): Promise<string> =>
  (await lines.end()).map((line) => `${line}\n`).join('')

export function parseResult(stdout: string): MeasureResult | undefined {
  const line = stdout.split('\n').find((one) => one.startsWith('[BYRE-MEASURE RESULT] '))
  return line === undefined ? undefined : (JSON.parse(line.slice(22)) as MeasureResult)
}

/** Names of cgroups that a byre of this file left: it has ended. Those of other tests and users do not count. */
export function cgroupsLeft(): string[] {
  const own = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .map((line) => /^\d+:([^:]*):(.*)$/.exec(line))
    .filter((match) => match !== null)
  const folders = own.flatMap((match) =>
    match[1] === 'memory'
      ? [`/sys/fs/cgroup/memory${match[2]}`]
      : match[1] === ''
        ? [`/sys/fs/cgroup${match[2]}`]
        : [],
  )
  return folders.flatMap((folder) => {
    try {
      return readdirSync(folder).filter((name) => {
        const pid = /^byre-measure-(\d+)-/.exec(name)?.[1]
        return pid !== undefined && started.has(Number(pid)) && !existsSync(`/proc/${pid}`)
      })
    } catch {
      return []
    }
  })
}

/** Can this user make a memory cgroup here? What needs one is skipped elsewhere, and says so. */
export function noCgroup(result: MeasureResult): string | false {
  const { source, way } = result.runs[0]!.peak
  return source === 'sampled' ? way : false
}
