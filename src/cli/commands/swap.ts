// `byre swap`: from one unit for each worker to one for the group, or back; and `--resume`, which ends what was interrupted.

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

/** Swaps, or with --dry-run says how, or with --resume ends what was interrupted; 0 done, 1 rolled back (why is told).
 *  Throws BYRE_USAGE, BYRE_CONFIG_*, BYRE_SWAP_*, BYRE_SYSTEMD. */
export async function swap(flags: SwapFlags): Promise<number> {
  if ((flags.resume === true) === (flags.to !== undefined))
    throw new ByreError('BYRE_USAGE', 'Cannot swap: exactly one of --to and --resume is needed.')
  if (flags.herd !== undefined && (flags.resume !== true || flags.config !== undefined))
    throw new ByreError(
      'BYRE_USAGE',
      'Cannot use --herd: it stands for the config of --resume, which is needed otherwise.',
    )
  if (flags.dryRun !== true) refuseWithoutRoot()
  if (flags.resume === true) {
    // The journal knows all the rest: a config that is broken or has moved must not keep a herd down.
    const name = flags.herd === undefined ? (await load(flags)).name : checkHerd(flags.herd)
    return locked(name, () => resume(name, flags))
  }
  const herd = await load(flags)
  // Whoever only looks must not keep root from swapping.
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
    // A terminal that has gone, or a log on a full disk, must not end a swap half-way.
    onStep: (text: string) => void printError(`byre: ${text}\n`).catch(() => {}),
  }
  const what = `swap of ${herd.name}/${group} to ${request.to}`
  const plan = await planSwap(request)
  if (flags.dryRun === true) {
    const projected = request.to === 'supervised' ? { projected: await project(herd, group, plan) } : {}
    const told = { ...plan, ...projected }
    await print(
      flags.json === true ? json({ herd: herd.name, group, to: request.to, ...told }) : planText(what, told),
    )
    return EXIT.ok
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => stop.abort(new Error(`asked to stop by ${signal}`)))
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

interface Ended {
  readonly group: string
  readonly to: string
  readonly interrupted: string
  readonly how: 'finished' | 'rolled-back'
}

/** One that cannot be ended does not keep the others from it; the first is thrown, the rest is told. */
async function resume(herd: string, { group: wanted, json: asJson }: SwapFlags): Promise<number> {
  const groups = openSwaps(herd).filter((group) => wanted === undefined || group === wanted)
  const ended: Ended[] = []
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
    // Nobody but root may look; a plan needs no journal.
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return []
    throw error
  }
}

/** A herd that has just started on a busy machine may take seconds to answer, and is well. */
const ANSWER_MS = 10_000
/** RuntimeDirectory= of byre's units. */
const RUN_FOLDER = '/run/byre'

/** Asks the processes of the new side how their workers are: none has failed since its start. */
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
    // Single units need not be byre's: then systemd alone knows.
    const { reached, unreachable } = await survey(
      paths.filter((path) => existsSync(path)),
      ANSWER_MS,
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

/** An abstract socket: the kernel frees it with the process, however that ends. */
function takeLock(herd: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const lock = createServer()
    lock.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new ByreError(
              'BYRE_SWAP_OPEN',
              `Cannot swap: another byre swap of herd '${herd}' runs now. Wait for it.`,
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
    `Cannot swap as user ${process.geteuid?.()}: it stops, starts and masks units. Run it as root, or with --dry-run.`,
  )
}

/** It becomes the name of a folder. */
function checkHerd(name: string): string {
  const why = reasonName(name)
  if (why === undefined) return name
  throw new ByreError('BYRE_USAGE', `Cannot use --herd: it ${why}.`)
}

function healthMs(text: string): number {
  const ms = parseDurationMs(text)
  if (ms !== undefined && ms <= 3_600_000) return ms
  throw new ByreError('BYRE_USAGE', `Cannot use --health: a duration of at most 1h is needed, got '${text}'.`)
}

function json(value: object): string {
  return `${JSON.stringify({ version: 1, ...value }, undefined, 2)}\n`
}
