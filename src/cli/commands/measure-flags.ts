// Checks the flags of `byre measure` and converts them to the options of measure().

import { join, resolve } from 'node:path'
import { parseBytes } from '../../base/bytes.ts'
import { ByreError } from '../../base/errors.ts'
import { defaultImage, findEngine } from '../../measure/container.ts'
import type { Lane, MeasureOptions } from '../../measure/measure.ts'
import type { MetricName, Phase } from '../../measure/result.ts'
import { parseStageRule } from '../../measure/stages.ts'
import { list, text, wholeNumber } from '../flag-values.ts'
import type { FlagValues } from '../flags.ts'

export interface MeasureRequest extends Omit<MeasureOptions, 'interrupt' | 'kill' | 'onEvent'> {
  readonly outDir: string
}

const CEILINGS: Readonly<Record<string, MetricName>> = {
  peak: 'peakBytes',
  anon: 'anonBytes',
  pss: 'pssBytes',
  uss: 'ussBytes',
}
const DEFAULT_INTERVAL_MS = 150
const MAX_RUNS = 1000

/** Throws BYRE_USAGE with the name of the invalid flag. */
export function readMeasureFlags(lines: readonly string[], flags: FlagValues, cwd: string): MeasureRequest {
  const matrix = text(flags, 'matrix')
  const lanes = readLanes(matrix === undefined ? lines : ['matrix'], list(flags, '--'))
  const prepare = text(flags, 'prepare')
  const label = readLabel(text(flags, 'label'), lanes)
  const outDir = resolve(cwd, text(flags, 'out') ?? '.byre/measure')
  const limit = text(flags, 'limit')
  const ceiling = text(flags, 'ceiling')
  const cleanup = text(flags, 'cleanup')
  return {
    label,
    lanes,
    cwd,
    env: process.env,
    runs: wholeNumber(flags, 'runs', 1, MAX_RUNS) ?? 1,
    warmups: wholeNumber(flags, 'warmup', 0, MAX_RUNS) ?? 0,
    phases: readPhases(list(flags, 'phases'), prepare !== undefined),
    ...(prepare === undefined ? {} : { prepare }),
    ...(cleanup === undefined ? {} : { cleanup }),
    rules: list(flags, 'stage').map(parseStageRule),
    intervalMs: wholeNumber(flags, 'intervalMs', 10, 60_000) ?? DEFAULT_INTERVAL_MS,
    verify: { paths: list(flags, 'verify'), json: list(flags, 'verifyJson').map(checkJsonRule) },
    sizes: Object.fromEntries(list(flags, 'size').map((one) => splitAt(one, 'size', 'NAME=PATH'))),
    ...(limit === undefined ? {} : { limitBytes: size(limit, 'limit') }),
    ...(ceiling === undefined ? {} : { ceiling: readCeiling(ceiling) }),
    ...readContainer(text(flags, 'container')),
    outDir,
    logPath: join(outDir, `${label}.log`),
    timelinePath: join(outDir, `timeline-${label}.csv`),
    logMaxBytes: size(text(flags, 'logMax') ?? '1GiB', 'log-max'),
    scopes: true,
    useCgroup: flags['sampled'] !== true,
  }
}

function readLanes(lines: readonly string[], passed: readonly string[]): Lane[] {
  if (lines.length > 0 && passed.length > 0)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot measure both '${lines[0]}' and the command after '--'. Pass either quoted shell commands or one command after '--'.`,
    )
  if (passed.length > 0) return [{ name: passed.join(' ').slice(0, 60), command: passed }]
  if (lines.length === 0)
    throw new ByreError(
      'BYRE_USAGE',
      "Cannot measure: no command is given. Pass a command after '--', or quoted shell commands.",
    )
  const names = lines.map((line) => line.slice(0, 60))
  return lines.map((line, i) => ({
    name: names.indexOf(names[i]!) === i ? names[i]! : `${names[i]!} (${i + 1})`,
    command: ['/bin/sh', '-c', line],
  }))
}

function readLabel(given: string | undefined, lanes: readonly Lane[]): string {
  if (given !== undefined && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(given))
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --label: it must have 1 to 100 letters, digits, '.', '_' or '-' and begin with a letter or digit, got '${given}'.`,
    )
  const derived = lanes[0]!.name
    .replace(/[^A-Za-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 40)
  return given ?? (derived === '' ? 'command' : derived)
}

function readContainer(image: string | undefined): Pick<MeasureOptions, 'container'> {
  if (image === undefined) return {}
  const engine = findEngine(process.env['PATH'])
  if (engine === undefined)
    throw new ByreError(
      'BYRE_UNSUPPORTED',
      'Cannot use --container: neither docker nor podman is in PATH. Install one of them, or omit the flag.',
    )
  return { container: { engine, image: image === 'default' ? defaultImage() : image } }
}

function readPhases(given: readonly string[], hasPrepare: boolean): Phase[] {
  const phases = given.length > 0 ? given : [hasPrepare ? 'cold' : 'warm']
  const bad = phases.find((phase) => phase !== 'cold' && phase !== 'warm')
  if (bad !== undefined)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --phases: it must be cold, warm or cold,warm, got '${bad}'.`,
    )
  if (phases.includes('cold') && !hasPrepare)
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot use --phases cold without --prepare, which makes a run cold. Pass --prepare.',
    )
  return (['cold', 'warm'] as const).filter((phase) => phases.includes(phase))
}

function readCeiling(value: string): { metric: MetricName; limitBytes: number } {
  const [name, bytes] = value.includes('=') ? splitAt(value, 'ceiling', 'METRIC=SIZE') : ['peak', value]
  const metric = CEILINGS[name]
  if (metric === undefined)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --ceiling: its metric must be one of ${Object.keys(CEILINGS).join(', ')}, got '${name}'.`,
    )
  return { metric, limitBytes: size(bytes, 'ceiling') }
}

function size(value: string, flag: string): number {
  const bytes = parseBytes(value)
  if (bytes === undefined || bytes === 0)
    throw new ByreError(
      'BYRE_USAGE',
      `Cannot use --${flag}: it must be a size such as 8GiB or 300MB, got '${value}'.`,
    )
  return bytes
}

function checkJsonRule(rule: string): string {
  if (!/^.+:[^:]+$/.test(rule))
    throw new ByreError('BYRE_USAGE', `Cannot use --verify-json: it must be FILE:KEY, got '${rule}'.`)
  return rule
}

function splitAt(value: string, flag: string, form: string): [string, string] {
  const at = value.indexOf('=')
  if (at < 1 || at === value.length - 1)
    throw new ByreError('BYRE_USAGE', `Cannot use --${flag}: it must be ${form}, got '${value}'.`)
  return [value.slice(0, at), value.slice(at + 1)]
}
