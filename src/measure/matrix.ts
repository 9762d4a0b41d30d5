// `byre measure --matrix`: variants that each change one thing in a baseline, compared with the statistics of `compare`.
// Pure: validation of the file, the decisions, and the order of the table.

import { isRecord } from '../base/check.ts'
import { ByreError, describeProblems } from '../base/errors.ts'
import type { Problem } from '../base/errors.ts'
import type { CompareRow } from './compare.ts'
import { judge } from './compare.ts'
import type { MeasureResult, MetricName } from './result.ts'
import { median } from './stats.ts'

export interface Variant {
  readonly name: string
  /** The change: `NODE_OPTIONS=...`, `+ --flag`, or its shell line. */
  readonly change: string
  readonly command: string
  readonly env: Readonly<Record<string, string>>
}

export interface Matrix {
  readonly metric: MetricName
  readonly runs: number
  /** Further rounds, 0 to 3, for a variant whose median is better without a significant difference. */
  readonly retries: number
  readonly verify: readonly string[]
  readonly baseline: Variant
  readonly variants: readonly Variant[]
}

export type Decision = 'kept' | 'discarded' | 'failed'

export interface Judged {
  readonly variant: Variant
  readonly decision: Decision
  readonly why: string
  /** Number of rounds of `runs` runs. */
  readonly rounds: number
  readonly row?: CompareRow
  readonly medianBytes?: number
  readonly medianWallMs?: number
  /** On the Pareto front: no other verified variant is better in both memory and time. */
  readonly isOnFront: boolean
}

const METRICS: readonly MetricName[] = ['peakBytes', 'anonBytes', 'pssBytes', 'ussBytes', 'wallMs']
const MAX_RETRIES = 3
const DEFAULT_RUNS = 5

/** Throws BYRE_USAGE with all problems of the file. */
export function parseMatrix(value: unknown, file: string): Matrix {
  const problems: Problem[] = []
  const fail = (path: string, message: string): void => void problems.push({ path, message })
  const root = isRecord(value) ? value : {}
  if (!isRecord(value)) fail('', 'must be an object')
  for (const key of Object.keys(root))
    if (!['metric', 'runs', 'retries', 'verify', 'baseline', 'variants'].includes(key))
      fail(key, 'is an unknown key')
  const metric = (root['metric'] ?? 'peakBytes') as MetricName
  if (!METRICS.includes(metric))
    fail('metric', `must be one of ${METRICS.join(', ')}, got ${JSON.stringify(metric)}`)
  const number = (key: string, missing: number, min: number, max: number): number => {
    const got = root[key] ?? missing
    if (typeof got === 'number' && Number.isInteger(got) && got >= min && got <= max) return got
    fail(key, `must be a whole number from ${min} to ${max}, got ${JSON.stringify(got)}`)
    return missing
  }
  const verify = root['verify'] ?? []
  if (!Array.isArray(verify) || verify.some((one) => typeof one !== 'string'))
    fail('verify', 'must be a list of paths')
  const base = isRecord(root['baseline']) ? root['baseline'] : {}
  const command = base['command']
  if (typeof command !== 'string' || command === '') fail('baseline.command', 'must be a shell line')
  const baseline: Variant = {
    name: 'baseline',
    change: '',
    command: typeof command === 'string' ? command : '',
    env: strings(base['env'], 'baseline.env', fail),
  }
  const list = Array.isArray(root['variants']) ? root['variants'] : []
  if (list.length === 0) fail('variants', 'must be a list with at least one variant')
  const variants = list.map((one: unknown, i) => readVariant(one, `variants[${i}]`, baseline, fail))
  const names = variants.map((one) => one.name)
  names.forEach((name, i) => {
    if (name === 'baseline' || names.indexOf(name) !== i)
      fail(`variants[${i}].name`, `'${name}' is already in use`)
  })
  const matrix: Matrix = {
    metric,
    runs: number('runs', DEFAULT_RUNS, 5, 100),
    retries: number('retries', MAX_RETRIES, 0, MAX_RETRIES),
    verify: verify as string[],
    baseline,
    variants,
  }
  if (problems.length > 0) throw new ByreError('BYRE_USAGE', describeProblems(`Cannot use ${file}`, problems))
  return matrix
}

function readVariant(
  value: unknown,
  path: string,
  baseline: Variant,
  fail: (path: string, message: string) => void,
): Variant {
  const one = isRecord(value) ? value : {}
  const name = one['name']
  if (typeof name !== 'string' || name === '' || name.length > 60)
    fail(`${path}.name`, 'must be a name of at most 60 characters')
  const env = strings(one['env'], `${path}.env`, fail)
  const flags = text(one['flags'], `${path}.flags`, fail)
  const command = text(one['command'], `${path}.command`, fail)
  const changes = [
    ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
    ...(flags === undefined ? [] : [`+ ${flags}`]),
    ...(command === undefined ? [] : [command]),
  ]
  if (changes.length !== 1)
    fail(
      path,
      `must change exactly one thing (one variable of env, flags, or command) so that its effect is known, changes ${changes.length}`,
    )
  const line = command ?? baseline.command
  return {
    name: typeof name === 'string' ? name : '',
    change: changes[0] ?? '',
    command: flags === undefined ? line : `${line} ${flags}`,
    env: { ...baseline.env, ...env },
  }
}

function text(
  value: unknown,
  path: string,
  fail: (path: string, message: string) => void,
): string | undefined {
  if (value === undefined || typeof value === 'string') return value
  fail(path, 'must be a string')
  return undefined
}

function strings(
  value: unknown,
  path: string,
  fail: (path: string, message: string) => void,
): Record<string, string> {
  if (value === undefined) return {}
  const isGood = isRecord(value) && Object.values(value).every((one) => typeof one === 'string')
  if (!isGood) fail(path, 'must be an object of strings')
  return isGood ? (value as Record<string, string>) : {}
}

/** Variants whose median is better without a significant difference: another round may decide. */
export function undecided(matrix: Matrix, results: readonly MeasureResult[]): string[] {
  return judgeMatrix(matrix, results)
    .filter(({ row, decision, rounds }) => {
      const looksBetter = (row?.differenceRatio ?? 0) < -0.02
      return decision === 'discarded' && row?.verdict !== 'worse' && looksBetter && rounds <= matrix.retries
    })
    .map(({ variant }) => variant.name)
}

/** Every variant, in the order of the table: by decision (kept first), then those on the front, then by the metric. */
export function judgeMatrix(matrix: Matrix, results: readonly MeasureResult[]): Judged[] {
  const confidence = 1 - 0.05 / matrix.variants.length
  const judged = matrix.variants.map((variant) => judgeVariant(matrix, variant, results, confidence))
  const verified = judged.filter((one) => one.decision !== 'failed')
  const withFront = judged.map((one) => ({
    ...one,
    isOnFront: one.decision !== 'failed' && !verified.some((other) => dominates(other, one)),
  }))
  const rank = { kept: 0, discarded: 1, failed: 2 }
  return withFront.toSorted(
    (a, b) =>
      rank[a.decision] - rank[b.decision] ||
      Number(b.isOnFront) - Number(a.isOnFront) ||
      (a.medianBytes ?? Number.POSITIVE_INFINITY) - (b.medianBytes ?? Number.POSITIVE_INFINITY),
  )
}

function judgeVariant(
  matrix: Matrix,
  variant: Variant,
  results: readonly MeasureResult[],
  confidence: number,
): Judged {
  const rounds = results.filter((result) => result.lanes.some((lane) => lane.name === variant.name))
  const runs = rounds.flatMap((result) => result.runs.filter((run) => run.lane === variant.name))
  const good = runs.filter((run) => run.ok)
  const base = { variant, rounds: rounds.length, isOnFront: false }
  if (good.length < runs.length || runs.length === 0) {
    const bad = runs.find((run) => !run.ok)
    const verify = bad?.verify.find((row) => !row.ok)
    const why =
      verify === undefined
        ? `failed in ${runs.length - good.length} of ${runs.length} runs`
        : `--verify ${verify.what}: ${verify.found}`
    return { ...base, decision: 'failed', why }
  }
  // Only baseline runs of the same rounds, so that drift between rounds is not attributed to the variant.
  const values = (lane: string): number[] =>
    rounds.flatMap((result) =>
      result.runs
        .filter((run) => run.lane === lane && run.ok)
        .map((run) => run.metrics[matrix.metric])
        .filter((value) => value !== undefined),
    )
  const [before, after] = [values(matrix.baseline.name), values(variant.name)]
  if (before.length === 0 || after.length === 0)
    return { ...base, decision: 'failed', why: `${matrix.metric} was not measured` }
  const row = judge({ lane: variant.name, phase: 'warm', metric: matrix.metric, before, after }, confidence)
  const wall = good.map((run) => run.metrics.wallMs).filter((value) => value !== undefined)
  return {
    ...base,
    decision: row.verdict === 'better' ? 'kept' : 'discarded',
    why: row.reason ?? row.verdict,
    row,
    medianBytes: row.after.median,
    ...(wall.length === 0 ? {} : { medianWallMs: median(wall) }),
  }
}

function dominates(a: Judged, b: Judged): boolean {
  if (a.medianBytes === undefined || b.medianBytes === undefined) return false
  if (a.medianWallMs === undefined || b.medianWallMs === undefined) return false
  const notWorse = a.medianBytes <= b.medianBytes && a.medianWallMs <= b.medianWallMs
  return notWorse && (a.medianBytes < b.medianBytes || a.medianWallMs < b.medianWallMs)
}
