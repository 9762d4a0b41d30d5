// `byre swap`: replaces the units of single workers with the unit of their group, or back. `--resume` ends interrupted swaps.

import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { parseDurationMs } from '../../base/durations.ts'
import { ByreError } from '../../base/errors.ts'
import { EXIT } from '../../base/exit-codes.ts'
import { socketPathOf } from '../../base/places.ts'
import type { SocketOwner } from '../../base/places.ts'
import { reasonName } from '../../config/fields.ts'
import { loadHerd } from '../../config/load.ts'
import type { ResolvedHerd, ResolvedWorker } from '../../config/types.ts'
import { outcomeText, planText, savedBy } from '../../report/swap-text.ts'
import { survey } from '../../control/client.ts'
import { groupUnit } from '../../systemd/unit-names.ts'
import type { Projection } from '../../systemd/projection.ts'
import { resumeSwap, swap as doSwap } from '../../systemd/swap.ts'
import { openSwaps, readSwap } from '../../systemd/swap-journal.ts'
import { planSwap } from '../../systemd/swap-plan.ts'
import type { SwapPlan } from '../../systemd/swap-plan.ts'
import { print, printError } from '../io.ts'

export interface SwapFlags {
  readonly to?: 'supervised' | 'individual'
  readonly config?: string
  readonly group?: string
  readonly health?: string
  readonly dryRun?: boolean
  readonly resume?: boolean
  readonly herd?: string
  readonly json?: boolean
}

/** Swaps, prints the plan (--dry-run), or ends interrupted swaps (--resume). Returns 0, or 1 after a rollback, whose reason is
 *  printed. Throws BYRE_USAGE, BYRE_CONFIG_*, BYRE_SWAP_* and BYRE_SYSTEMD. */
export async function swap(flags: SwapFlags): Promise<number> {
  if ((flags.resume === true) === (flags.to !== undefined))
    throw new ByreError('BYRE_USAGE', 'Cannot swap: exactly one of --to and --resume is required.')
  if (flags.herd !== undefined && (flags.resume !== true || flags.config !== undefined))
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot use --herd here: it replaces the config of --resume. Use it with --resume and without --config.',
    )
  if (flags.dryRun !== true) refuseWithoutRoot()
  if (flags.resume === true) {
    // The journal has all other data: an invalid or moved config must not keep a herd from running.
    const name = flags.herd === undefined ? (await load(flags)).name : checkHerd(flags.herd)
    return locked(name, () => resume(name, flags))
  }
  const herd = await load(flags)
  // A dry run of an unprivileged user takes no lock, so that it cannot block a swap by root.
  if (flags.dryRun === true && process.geteuid?.() !== 0) return swapGroup(herd, flags)
  return locked(herd.name, () => swapGroup(herd, flags))
}

function load({ config: file }: SwapFlags): Promise<ResolvedHerd> {
  return loadHerd({ cwd: process.cwd(), ...(file === undefined ? {} : { file }) })
}

async function locked(herd: string, work: () => Promise<number>): Promise<number> {
  const lock = await takeLock(herd)
  try {
    return await work()
  } finally {
    lock.close()
  }
}

async function swapGroup(herd: ResolvedHerd, flags: SwapFlags): Promise<number> {
  const group = chooseGroup(herd, flags.group)
  if (readableSwaps(herd.name).includes(group)) {
    const open = readSwap(herd.name, group)
    throw new ByreError(
      'BYRE_SWAP_OPEN',
      `Cannot swap ${herd.name}/${group}: a swap to ${open.to} was interrupted while ${open.phase}. End it with byre swap --resume.`,
    )
  }
  const stop = new AbortController()
  const request = {
    herd: herd.name,
    group,
    to: flags.to!,
    groupUnit: groupUnit(herd.name, group),
    workers: workersOf(herd, group).map(({ name }) => name),
    healthMs: healthMs(flags.health ?? '10s'),
    check: createCheck(herd, group, flags.to!),
    signal: stop.signal,
    // A closed terminal or a full disk must not abort a swap.
    onStep: (text: string) => void printError(`byre: ${text}\n`).catch(() => {}),
  }
  const what = `swap of ${herd.name}/${group} to ${request.to}`
  const plan = await planSwap(request)
  if (flags.dryRun === true) {
    const projected = request.to === 'supervised' ? { projected: await project(herd, group, plan) } : {}
    const fullPlan = { ...plan, ...projected }
    await print(
      flags.json === true
        ? json({ herd: herd.name, group, to: request.to, ...fullPlan })
        : planText(what, fullPlan),
    )
    return EXIT.ok
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => stop.abort(new Error(`interrupted by ${signal}`)))
  const outcome = await doSwap(request, plan)
  const saved = outcome.kind === 'swapped' ? savedBy(outcome.before, outcome.after) : undefined
  await print(
    flags.json === true
      ? json({ herd: herd.name, group, to: request.to, outcome, ...(saved === undefined ? {} : { saved }) })
      : outcomeText(what, outcome),
  )
  return outcome.kind === 'rolled-back' ? EXIT.failed : EXIT.ok
}

async function project(
  herd: ResolvedHerd,
  group: string,
  { before, other }: SwapPlan,
): Promise<Projection | { readonly unavailable: string }> {
  const { projectGroup } = await import('../../systemd/projection.ts')
  const workers = workersOf(herd, group)
  return projectGroup({ herd, workers, before, mainPids: other.map(({ mainPid }) => mainPid) })
}

interface ResumedSwap {
  readonly group: string
  readonly to: string
  readonly interrupted: string
  readonly how: 'finished' | 'rolled-back'
}

/** Continues after a swap that cannot be ended. The first error is thrown, the others are printed. */
async function resume(herd: string, { group: wanted, json: asJson }: SwapFlags): Promise<number> {
  const groups = openSwaps(herd).filter((group) => wanted === undefined || group === wanted)
  const ended: ResumedSwap[] = []
  const stuck: Error[] = []
  for (const group of groups)
    try {
      const record = readSwap(herd, group)
      ended.push({ group, to: record.to, interrupted: record.phase, how: await resumeSwap(record) })
    } catch (error) {
      stuck.push(error as Error)
    }
  const lines = ended.map(
    ({ group, to, interrupted, how }) =>
      `swap of ${herd}/${group} to ${to}, interrupted while ${interrupted}: ${how}\n`,
  )
  if (asJson === true) await print(json({ herd, ended, stuck: stuck.map(({ message }) => message) }))
  else if (groups.length > 0) await print(lines.join(''))
  else await print(`no swap of ${herd}${wanted === undefined ? '' : `/${wanted}`} was interrupted\n`)
  for (const { message } of stuck.slice(1)) await printError(`byre: ${message}\n`)
  if (stuck.length > 0) throw stuck[0]
  return EXIT.ok
}

function chooseGroup(herd: ResolvedHerd, wanted: string | undefined): string {
  const groups = [...new Set(herd.workers.map(({ group }) => group))]
  const [only] = groups
  if (wanted === undefined && groups.length === 1) return only!
  if (wanted !== undefined && groups.includes(wanted)) return wanted
  const got = wanted === undefined ? 'none given' : `got '${wanted}'`
  throw new ByreError('BYRE_USAGE', `Cannot swap: --group must be one of ${groups.join(', ')}, ${got}.`)
}

function workersOf({ workers }: ResolvedHerd, group: string): ResolvedWorker[] {
  return workers.filter((spec) => spec.group === group)
}

function readableSwaps(herd: string): string[] {
  try {
    return openSwaps(herd)
  } catch (error) {
    // Only root can read the journal, and a plan does not need it.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return []
    throw error
  }
}

/** Long enough for a healthy herd that has just started on a busy machine. */
const REPLY_TIMEOUT_MS = 10_000
/** RuntimeDirectory= of byre's units. */
const RUN_FOLDER = '/run/byre'

/** Returns a health check of the new units: it returns the problem when a worker has failed since its start. */
function createCheck(
  herd: ResolvedHerd,
  group: string,
  to: 'supervised' | 'individual',
): () => Promise<string | undefined> {
  const owners: SocketOwner[] =
    to === 'supervised'
      ? [{ kind: 'group', group }]
      : workersOf(herd, group).map(({ name }) => ({ kind: 'run', worker: name }))
  const paths = owners.map((owner) => socketPathOf(RUN_FOLDER, herd.name, owner))
  return async () => {
    // Units of single workers may not run byre. Then only systemd knows their state.
    const { reached, unreachable } = await survey(
      paths.filter((path) => existsSync(path)),
      REPLY_TIMEOUT_MS,
    )
    if (to === 'supervised' && reached.length === 0)
      return `the supervisor does not answer: ${unreachable[0]?.reason ?? `no socket ${paths[0]}`}`
    for (const worker of reached.flatMap(({ status }) => status.workers)) {
      const { name, state, failures: now, lastExit } = worker
      if (state === 'quarantined' || state === 'backing-off' || now > 0)
        return `worker ${name} is ${state} after ${now} failures${lastExit === undefined ? '' : `: ${lastExit.reason}`}`
    }
    return undefined
  }
}

/** Takes the lock, an abstract socket: the kernel releases it at any end of the process. */
function takeLock(herd: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const lock = createServer()
    lock.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new ByreError(
              'BYRE_SWAP_OPEN',
              `Cannot swap: another byre swap of herd '${herd}' is running. Wait until it has ended.`,
            )
          : error,
      ),
    )
    lock.listen(`\0byre-swap-${herd}`, () => resolve(lock.unref()))
  })
}

function refuseWithoutRoot(): void {
  if (process.geteuid?.() === 0) return
  throw new ByreError(
    'BYRE_SWAP_REFUSED',
    `Cannot swap as user ${process.geteuid?.()}: a swap stops, starts and masks units. Run it as root, or with --dry-run.`,
  )
}

/** Checks the name, which is used as a folder name. */
function checkHerd(name: string): string {
  const why = reasonName(name)
  if (why === undefined) return name
  throw new ByreError('BYRE_USAGE', `Cannot use --herd: the name ${why}.`)
}

function healthMs(text: string): number {
  const ms = parseDurationMs(text)
  if (ms !== undefined && ms <= 3_600_000) return ms
  throw new ByreError(
    'BYRE_USAGE',
    `Cannot use --health: it must be a duration of at most 1h, got '${text}'.`,
  )
}

function json(value: object): string {
  return `${JSON.stringify({ version: 1, ...value }, undefined, 2)}\n`
}
