// The thread that watches the supervisor's loop. Small on purpose: a thread costs 8 MB (Node 20) and 10 (24) as it is,
// and what a stall needs is loaded with the first one.

import { parentPort, workerData } from 'node:worker_threads'
import { noteLoaded } from '../../base/module-path.ts'
import type { Logger } from '../../log/logger.ts'
import { Judge, periodOf } from './judge.ts'
import { LineBudget } from './line-budget.ts'
import { openEpollReader, RestingPlace } from './loop-state.ts'
import { holdSession, SHARED } from './protocol.ts'
import type { HerdView, Stall, ThreadSettings, ToThread, WatchedWorker } from './protocol.ts'
import type { investigateShared as Investigate } from './shared-stall.ts'

/** A turn this long is noted in the breadcrumb. */
const LONG_MS = 10

const settings = workerData as ThreadSettings
const { shared } = settings
const epoll = openEpollReader('self', settings.tid)
const place = new RestingPlace(settings.epolls)
const budget = new LineBudget()
let herd: HerdView = settings.herd
let judge = judgeFor(herd)
let log: Logger | undefined

for (const link of settings.links) noteLoaded(link)
parentPort?.on('message', (next: ToThread) => {
  if ('link' in next) {
    noteLoaded(next.link)
    return
  }
  herd = next
  judge = judgeFor(next)
})
look()

function judgeFor({ workers }: HerdView): Judge {
  const afterMs = Math.min(
    ...workers.filter(({ detect }) => detect).map((worker) => worker.afterMs),
    3_600_000,
  )
  return new Judge({ afterMs, periodMs: periodOf(afterMs, epoll !== undefined), longMs: LONG_MS })
}

function look(): void {
  const waitsIn = epoll?.()
  const answered = Atomics.load(shared, SHARED.answered)
  const ruling = judge.judge({ nowMs: performance.now(), resting: place.isRest(waitsIn), answered })
  if (ruling.kind === 'stalled') {
    void hold(ruling.number, performance.now() - ruling.blockedMs).finally(again)
    return
  }
  if (ruling.kind === 'long') void noteTurn(ruling.number, ruling.blockedMs)
  if (ruling.kind === 'suspect') void tools()
  if (ruling.kind === 'ask') parentPort?.postMessage(ruling.number)
  again()
}

async function noteTurn(number: number, blockedMs: number): Promise<void> {
  const { breadcrumb } = settings
  if (breadcrumb === undefined || Atomics.load(shared, SHARED.loading) > 0) return
  const at = Date.now() - Math.round(blockedMs)
  // The loop waits for open sessions before it ends this thread.
  const release = holdSession(shared)
  try {
    const { noteLongTurn } = await import('./long-turn.ts')
    const over = (): boolean =>
      Atomics.load(shared, SHARED.answered) >= number ||
      Atomics.load(shared, SHARED.loading) > 0 ||
      Atomics.load(shared, SHARED.closed) > 0
    if (await noteLongTurn({ breadcrumb, at, over })) parentPort?.postMessage('noted')
  } catch {
    // A full disk, or a folder that is gone: the loop reports what it cannot write itself.
  } finally {
    release()
  }
}

function again(): void {
  setTimeout(look, judge.nextMs(performance.now()))
}

/** What a stall needs; most herds never load it. */
async function tools(): Promise<[typeof Investigate, Logger]> {
  const [{ investigateShared }, { openTell }] = await Promise.all([
    import('./shared-stall.ts'),
    import('./report-stall.ts'),
  ])
  const { format, colour, fd } = settings
  log ??= await openTell({ format, colour, fd, levelNumber: () => herd.levelNumber })
  return [investigateShared, log]
}

async function hold(number: number, since: number): Promise<void> {
  const [investigate, logger] = await tools()
  const stall = await investigate({
    herd,
    entered,
    over: () => Atomics.load(shared, SHARED.answered) >= number,
    blockedMs: () => Math.round(performance.now() - since),
    budget,
    log: logger,
    noteFile: settings.noteFile,
    shared,
    keep: await keeper(),
  })
  if (stall !== undefined) tellLoop(stall)
}

async function keeper(): Promise<((text: string) => string) | undefined> {
  if (!herd.workers.some(({ profile }) => profile)) return undefined
  const { keepProfile } = await import('../profile/files.ts')
  return (text) => keepProfile(settings.profiles, 'cpu', text, Date.now())
}

function tellLoop(stall: Stall): void {
  parentPort?.postMessage({ stall })
}

function entered(): string | undefined {
  const index = Atomics.load(shared, SHARED.entered) - 1
  return herd.workers.find((worker: WatchedWorker) => worker.index === index)?.name
}
