// The thread that watches the supervisor's loop. It loads little on purpose: a bare thread costs 8 MB (Node 20) and 10 MB
// (24), so what a stall needs is loaded with the first stall.

import { parentPort, workerData } from 'node:worker_threads'
import { noteLoaded } from '../../base/module-path.ts'
import type { Logger } from '../../log/logger.ts'
import { LineBudget } from '../line-budget.ts'
import { checkPeriodMs, IdleEpoll, openEpollReader, StallDetector } from './detector.ts'
import { holdSession, SHARED } from './protocol.ts'
import type { HerdView, ThreadSettings, ToThread } from './protocol.ts'
import type { investigateShared as Investigate } from './shared-stall.ts'

/** A turn this long is noted in the breadcrumb. */
const LONG_MS = 10

const settings = workerData as ThreadSettings
const { shared } = settings
const readEpoll = openEpollReader('self', settings.tid)
const idleEpoll = new IdleEpoll(settings.epolls)
const budget = new LineBudget()
let herd: HerdView = settings.herd
let detector = detectorFor(herd)
let log: Logger | undefined
/** A stall is being investigated, which pauses the loop. */
let investigating = false

for (const link of settings.links) noteLoaded(link)
parentPort?.on('message', (next: ToThread) => {
  if ('link' in next) {
    noteLoaded(next.link)
    return
  }
  herd = next
  detector = detectorFor(next)
})
check()

function detectorFor({ workers }: HerdView): StallDetector {
  const afterMs = Math.min(
    ...workers.filter(({ detect }) => detect).map((worker) => worker.afterMs),
    3_600_000,
  )
  return new StallDetector({
    afterMs,
    periodMs: checkPeriodMs(afterMs, readEpoll !== undefined),
    longMs: LONG_MS,
  })
}

function check(): void {
  const idle = idleEpoll.isIdle(readEpoll?.())
  const answered = Atomics.load(shared, SHARED.answered)
  const decision = detector.decide({ nowMs: performance.now(), idle, answered })
  if (decision.kind === 'stalled') {
    investigating = true
    void investigate(decision.number, performance.now() - decision.blockedMs).finally(() => {
      investigating = false
      scheduleCheck()
    })
    return
  }
  if (decision.kind === 'long') void noteTurn(decision.number, decision.blockedMs)
  if (decision.kind === 'suspect') void loadTools()
  if (decision.kind === 'ping') parentPort?.postMessage(decision.number)
  scheduleCheck()
}

function scheduleCheck(): void {
  setTimeout(check, detector.nextMs(performance.now()))
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
    if (await noteLongTurn({ breadcrumb, at, over, pausing: () => investigating }))
      parentPort?.postMessage('noted')
  } catch {
    // A full disk, or a missing folder: the loop reports what it cannot write itself.
  } finally {
    release()
  }
}

/** The code that the investigation of a stall needs; most herds never load it. */
async function loadTools(): Promise<[typeof Investigate, Logger]> {
  const { investigateShared, openStallLog } = await import('./shared-stall.ts')
  const { format, colour, fd } = settings
  log ??= await openStallLog({ format, colour, fd, levelNumber: () => herd.levelNumber })
  return [investigateShared, log]
}

async function investigate(number: number, sinceMs: number): Promise<void> {
  const [investigateShared, logger] = await loadTools()
  const stall = await investigateShared({
    herd,
    entered,
    over: () => Atomics.load(shared, SHARED.answered) >= number,
    blockedMs: () => Math.round(performance.now() - sinceMs),
    budget,
    log: logger,
    noteFile: settings.noteFile,
    shared,
    keepProfile: await profileKeeper(),
  })
  if (stall !== undefined) parentPort?.postMessage({ stall })
}

async function profileKeeper(): Promise<((text: string) => string) | undefined> {
  if (!herd.workers.some(({ profile }) => profile)) return undefined
  const { keepProfile } = await import('../profile/files.ts')
  return (text) => keepProfile(settings.profiles, 'cpu', text, Date.now())
}

/** The worker the loop entered last. */
function entered(): string | undefined {
  const index = Atomics.load(shared, SHARED.entered) - 1
  return herd.workers.find((worker) => worker.index === index)?.name
}
