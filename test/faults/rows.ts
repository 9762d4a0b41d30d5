// A table of faults: one row is one faulty worker, what it does, and what must come of it. `runRows` hosts all rows of a
// table in one process with 17 healthy siblings and sets them off one after the other; after each, only the row's own
// worker may have changed.
import type { Test } from 'tap'
import type { Placement, WorkerConfig } from '../../src/config/types.ts'
import type { SupervisorStatus, WorkerStatus } from '../../src/herd/status.ts'
import { eventually } from '../helpers/events.ts'
import { herdFolder, matches, show, startHerd } from '../helpers/herd.ts'
import type { Herd, Match } from '../helpers/herd.ts'
import { Clerk, HEALTHY, healthyConfig, healthyWorkers, missedTicks, SHARED_FILES } from './fleet.ts'

export interface Expected {
  /** Verdict of the last exit; undefined: it never ended. */
  readonly verdict?: string
  readonly reason?: RegExp
  readonly evidence?: Match
  /** The evidence's stack names the worker's module. @default true when a verdict is expected */
  readonly stack?: boolean
  /** Where it comes to rest. @default 'running' */
  readonly state?: string
  /** @default 1 with a verdict, else 0 */
  readonly restarts?: number
  /** @default 1 with a verdict, else 0 */
  readonly failures?: number
  /** Lines it must leave; `worker` is filled in. */
  readonly log?: readonly Match[]
}

export interface Fault {
  /** Name of the worker and of its module. */
  readonly name: string
  /** The title: a law. */
  readonly law: string
  /** Imports of its module. */
  readonly imports?: string
  /** Runs inside `run(ctx)` once it is set off; then the worker waits for its signal. */
  readonly fault?: string
  /** Instead of `fault`: the whole module. */
  readonly source?: string
  readonly config?: WorkerConfig
  readonly files?: Readonly<Record<string, string>>
  /** Set off by `wake`, as a lazy worker, instead of by a message: for what happens at or before the start of run(). */
  readonly wake?: boolean
  /** Just before it is set off. */
  readonly before?: (herd: Herd) => unknown
  readonly expect: Expected
  /** In a thread or a process of its own: what differs, or why the row has no meaning there. */
  readonly elsewhere?: Partial<Expected> | string
  /** After everything else holds. */
  readonly also?: (t: Test, world: World) => Promise<unknown>
}

/** Where the faulty workers of a table live; elsewhere.test.ts runs the tables again with another. */
const PLACEMENT = (process.env['BYRE_TEST_PLACEMENT'] ?? 'shared') as Placement

export interface World {
  readonly herd: Herd
  readonly clerk: Clerk
  readonly row: Fault
  /** Position in the log when the row was set off. */
  readonly from: number
}

export function sourceOf(row: Fault): string {
  if (row.source !== undefined) return row.source
  return `
import { go, stopped, wait } from '../lib/go.mjs'
${row.imports ?? ''}
export async function run(ctx) {
  const payload = await go(ctx)
  ${row.fault ?? ''}
  await stopped(ctx)
}
`
}

/** The table as one test: each row a subtest, in order. */
export async function runRows(t: Test, rows: readonly Fault[]): Promise<void> {
  let world: { herd: Herd; clerk: Clerk } | undefined
  const start = async (left: readonly Fault[]): Promise<{ herd: Herd; clerk: Clerk }> => {
    const herd = await hostRows(t, left)
    return { herd, clerk: new Clerk(herd) }
  }
  for (const [index, row] of rows.map(placed).entries()) {
    const meaningless = PLACEMENT === 'shared' || typeof row.elsewhere !== 'string' ? false : row.elsewhere
    await t.test(row.law, { skip: meaningless }, async (t) => {
      // A row that took the process down is red; the rows after it get a new one.
      world ??= await start(rows.slice(index))
      const { herd, clerk } = world
      try {
        await runRow(t, herd, clerk, row)
      } catch (error) {
        world = undefined
        await herd.kill()
        throw error
      }
    })
  }
  await t.test('the herd that went through all of this stops as if nothing had happened', async (t) => {
    t.same(await world?.herd.stop(), { code: 0, signal: null })
    t.match(await world?.herd.line({ event: 'stopped' }), { code: 0 })
    t.same(world?.herd.matching({ event: /^(unattributed|internal-error)$/ }), [])
    const streams = world?.herd.matching({
      event: 'leftovers',
      listeners: /(Socket|WriteStream)\.on\('error'\)/,
    })
    t.same(streams, [], `nobody is said to have left byre's own listeners behind`)
  })
}

async function hostRows(t: Test, rows: readonly Fault[], args: readonly string[] = []): Promise<Herd> {
  const folder = herdFolder(t)
  const lazy = { activation: { topics: ['never'] } }
  const away = { ...lazy, placement: PLACEMENT }
  const entry = ({ name, wake, config }: Fault): [string, WorkerConfig] => [
    name,
    { ...(PLACEMENT === 'shared' ? (wake ? lazy : {}) : away), ...config },
  ]
  return startHerd(t, {
    folder,
    args,
    workers: { ...healthyWorkers(), ...Object.fromEntries(rows.map((row) => [row.name, sourceOf(row)])) },
    files: Object.assign({ ...SHARED_FILES }, ...rows.map((row) => row.files ?? {})) as Record<
      string,
      string
    >,
    config: {
      workers: {
        ...healthyConfig(folder),
        ...Object.fromEntries(rows.map(entry)),
      },
    },
  })
}

/** The row as it reads where the table runs. Elsewhere a worker starts for its own row only, so it rests as dormant. */
function placed(row: Fault): Fault {
  if (PLACEMENT === 'shared' || typeof row.elsewhere === 'string') return row
  const rests = row.expect.state === 'stopped' ? { state: 'dormant' } : {}
  return { ...row, expect: { ...row.expect, ...rests, ...row.elsewhere } }
}

async function runRow(t: Test, herd: Herd, clerk: Clerk, row: Fault): Promise<void> {
  const { expect } = row
  await row.before?.(herd)
  if (PLACEMENT !== 'shared' && !row.wake) {
    await herd.act(row.name, 'wake')
    await herd.untilWorker(row.name, (worker) => worker.state === 'running')
  }
  const before = await herd.status()
  await clerk.reset()
  const from = herd.mark()
  if (row.wake) t.equal((await herd.act(row.name, 'wake')).status, 202)
  else await clerk.publish(`go.${row.name}`)

  const found = await herd.untilWorker(row.name, (worker) => isSettled(worker, expect))
  if (expect.verdict !== undefined) checkExit(t, row, found)
  for (const match of expect.log ?? []) await herd.line({ worker: row.name, ...match }, from)
  await checkOthers(t, herd, clerk, before, row)
  await row.also?.(t, { herd, clerk, row, from })
  if (PLACEMENT === 'shared') return
  await herd.act(row.name, 'stop')
  await herd.untilWorker(row.name, (worker) => /^(stopped|quarantined)$/.test(worker.state))
}

function isSettled(worker: WorkerStatus, expect: Expected): boolean {
  const failed = expect.verdict === undefined ? 0 : 1
  return (
    worker.state === (expect.state ?? 'running') &&
    worker.restarts === (expect.restarts ?? failed) &&
    worker.failures === (expect.failures ?? failed) &&
    worker.lastExit?.verdict === expect.verdict
  )
}

function checkExit(t: Test, row: Fault, worker: WorkerStatus): void {
  const { lastExit } = worker
  if (row.expect.reason !== undefined) t.match(lastExit?.reason, row.expect.reason)
  if (row.expect.evidence !== undefined)
    t.ok(
      matches(lastExit?.evidence, row.expect.evidence),
      `evidence ${show(row.expect.evidence)}, found ${JSON.stringify(lastExit?.evidence)}`,
    )
  if (row.expect.stack !== false)
    t.ok(
      String(lastExit?.evidence['stack']).includes(`/workers/${row.name}.mjs`),
      `the stack names its module, found ${String(lastExit?.evidence['stack'])}`,
    )
}

/** Law 1: nobody but the row's worker changed, and the 17 tick and answer. */
async function checkOthers(
  t: Test,
  herd: Herd,
  clerk: Clerk,
  before: SupervisorStatus,
  row: Fault,
): Promise<void> {
  const census = await eventually('two ticks of every sibling', async () => {
    const census = await clerk.census()
    return HEALTHY.every((name) => (census.book[name]?.ticks ?? 0) >= 2) ? census : undefined
  })
  t.same(missedTicks(census), [], 'no sibling missed a tick')
  t.same(
    census.answered.map((answer) => answer.name).toSorted(),
    [...HEALTHY].toSorted(),
    'every sibling answers',
  )
  const after = await herd.status()
  t.equal(after.pid, before.pid)
  const others = (status: SupervisorStatus): object[] =>
    status.workers
      .filter((worker) => worker.name !== row.name)
      .map(({ name, state, restarts, failures, startedAt, wakes, lastExit }) => ({
        name,
        state,
        restarts,
        failures,
        startedAt,
        wakes,
        lastExit,
      }))
  t.same(others(after), others(before), 'nobody else was restarted or charged')
  const harmed = after.workers.filter(
    ({ name, state, restarts, failures }) =>
      HEALTHY.includes(name) &&
      !(state === 'running' && restarts + failures === 0 && census.book[name]?.runs === 1),
  )
  t.same(harmed, [], 'all 17 are in their first run')
}
