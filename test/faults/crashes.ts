// Taking a whole herd down through one worker, and starting again in the same folder.
import { join } from 'node:path'
import type { Test } from 'tap'
import { readBreadcrumb } from '../../src/herd/breadcrumb.ts'
import { eventually } from '../helpers/events.ts'
import { startHerd } from '../helpers/herd.ts'
import type { Herd } from '../helpers/herd.ts'
import { HEALTHY, healthyConfig, healthyWorkers, SHARED_FILES } from './fleet.ts'

/** A worker that does `fault` once it is set off. */
export const crashing = (fault: string): string => `
import { go, stopped, wait } from '../lib/go.mjs'
export async function run(ctx) {
  await go(ctx)
  ctx.log.info({ event: 'about-to' }, 'about to')
  await wait(20)
  ${fault}
  await stopped(ctx)
}`

/** 17 healthy siblings and `bad`, watched for stalls. */
export async function startWithBad(
  t: Test,
  folder: string,
  source: string,
  more: { readonly nodeOptions?: string; readonly bad?: object; readonly defaults?: object } = {},
): Promise<Herd> {
  const herd = await startHerd(t, {
    folder,
    files: SHARED_FILES,
    workers: { ...healthyWorkers(), bad: source },
    config: {
      ...(more.defaults === undefined ? {} : { defaults: more.defaults }),
      workers: { ...healthyConfig(folder), bad: more.bad ?? {} },
    },
    env: more.nodeOptions === undefined ? {} : { NODE_OPTIONS: more.nodeOptions },
  })
  await eventually('the watch for stalls to have begun', () => readBreadcrumb(crumbOf(herd))?.watched)
  return herd
}

function crumbOf(herd: Herd): string {
  return join(herd.folder, 'state/h/_all.breadcrumb')
}

/** The watch for stalls has named bad, and has noted that for the next start. */
export async function heldByBad(herd: Herd): Promise<void> {
  await herd.line({ event: 'stall', worker: 'bad' })
}

/** The watch has noted that the loop is in code of bad. */
export async function notedInBad(herd: Herd): Promise<void> {
  await eventually('the breadcrumb to name bad', () => {
    const crumb = readBreadcrumb(crumbOf(herd))
    return crumb?.state === 'in' && crumb.worker === 'bad'
  })
}

export interface NextStart {
  /** What the status says of bad; absent: nobody is blamed. */
  readonly bad?: object
  /** @default the 17 */
  readonly siblings?: readonly string[]
  /** Ends the quarantine by hand. @default true */
  readonly restart?: boolean
}

/** Starts again: what is said of bad, and the siblings are up. */
export async function checkNextStart(t: Test, folder: string, wanted: NextStart = {}): Promise<void> {
  const herd = await startHerd(t, { folder })
  const { workers } = await herd.status()
  const up = (wanted.siblings ?? HEALTHY).map((name) => workers.find((worker) => worker.name === name))
  t.same(
    up.filter((worker) => worker?.state !== 'running' || worker.failures + worker.restarts > 0),
    [],
    'the siblings are up',
  )
  const said = herd.matching({ event: 'last-run' })
  const bad = await herd.worker('bad')
  if (wanted.bad === undefined) {
    t.same(said, [], 'nobody is blamed')
    t.match(bad, { state: 'running', failures: 0 })
  } else {
    t.match(said, [{ worker: 'bad', level: 50, certain: true }])
    t.match(bad, {
      state: 'quarantined',
      quarantine: /byre move bad --to process, then byre start bad$/,
      failures: 1,
      ...wanted.bad,
    })
    if (wanted.restart !== false) {
      await herd.act('bad', 'start')
      await herd.untilWorker('bad', (worker) => worker.state === 'running')
    }
  }
  await herd.kill()
}
