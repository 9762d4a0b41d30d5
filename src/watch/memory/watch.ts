// Watches the memory usage of the groups in this process and, above memoryHigh, reclaims memory step by step. Loaded only when
// a group has memoryHigh or memoryMax.

import { formatMegabytes } from '../../base/bytes.ts'
import type { Timer } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import type { Logger } from '../../log/logger.ts'
import { readSmapsRollup } from '../../procfs/smaps-rollup.ts'
import { runInScope } from '../../ownership/run-scope.ts'
import { LineBudget } from '../line-budget.ts'
import { collectAll } from '../collect-garbage.ts'
import { reportLargest } from './largest.ts'
import type { MemoryWatchDeps, Reporter } from './largest.ts'
import { Growth } from './growth.ts'
import type { Sized } from './growth.ts'
import { BELOW, relieve } from './relief.ts'
import type { MemorySample, ReliefDecision, ReliefEvent, ReliefState, ReliefStep } from './relief.ts'
import { limitsOf, openUsage } from './usage.ts'
import type { GroupLimits, Usage, UsageReader } from './usage.ts'

export interface MemoryWatch {
  close(): void
}

const FIRST_SAMPLE_MS = 1000
const SAMPLE_EVERY_MS = 5000
/** A sample may be this much later than due, to share a wake-up. */
const SLACK_MS = 1000
/** Time for a step to take effect before usage is sampled again. */
const EFFECT_MS = 1000
/** Time for threads and processes to end. */
const END_MS = 5000
/** Above this share of memoryMax the kernel may kill before the next round. */
const URGENT_SHARE = 0.95
/** Key of the shared loop, which has no worker name. */
const LOOP = ''

/** Returns undefined if the hosted groups have no limit, or limits that cannot be watched; the latter is logged. */
export function watchMemory(deps: MemoryWatchDeps): MemoryWatch | undefined {
  const limits = limitsOf(
    deps.herd(),
    Array.from(deps.workers.runners(), ({ spec }) => spec.group),
  )
  if (limits === undefined) return undefined
  if (typeof limits === 'string') {
    deps.log.warn({ event: 'memory-watch-off', why: limits }, `memory is not watched: ${limits}`)
    return undefined
  }
  const watch = new GroupWatch(deps, limits, openUsage(limits))
  watch.begin()
  return watch
}

class GroupWatch implements MemoryWatch, Reporter {
  readonly #deps: MemoryWatchDeps
  readonly #limits: GroupLimits
  readonly #usage: UsageReader
  readonly #growth = new Growth()
  readonly #budget = new LineBudget()
  #state: ReliefState = BELOW
  #timer: Timer | undefined
  #unreadable = false
  #closed = false

  constructor(deps: MemoryWatchDeps, limits: GroupLimits, usage: UsageReader) {
    this.#deps = deps
    this.#limits = limits
    this.#usage = usage
  }

  begin(): void {
    const { source } = this.#usage
    this.#log.info(
      { event: 'memory-watch', source, ...this.#limits },
      `memory of the group is watched (${source})`,
    )
    this.#arm(FIRST_SAMPLE_MS)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  closed(): boolean {
    return this.#closed
  }

  warn(event: string, worker: string, facts: object, text: string): void {
    const who = worker === '' ? {} : { worker }
    this.#report('warn', event, worker, { ...who, ...facts }, text)
  }

  /** A shortage can last indefinitely: at most three lines an hour for each event and `key`. */
  #report(level: 'info' | 'warn', event: string, key: string, facts: object, text: string): void {
    const leftOut = this.#budget.take(key, event, this.#deps.clock.monotonic())
    if (leftOut === undefined) return
    this.#log[level]({ event, ...facts, ...(leftOut === 0 ? {} : { leftOut }) }, text)
  }

  get #log(): Logger {
    return this.#deps.log
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel()
    this.#timer = this.#deps.scheduler.after(
      delayMs,
      () => runInScope(undefined, () => this.#sample('sampled')),
      SLACK_MS,
    )
  }

  #sample(type: ReliefEvent['type']): void {
    const usage = this.#usage.read()
    if (typeof usage === 'string') {
      if (!this.#unreadable)
        this.warn('memory-watch-blind', '', { why: usage }, `memory of the group cannot be read: ${usage}`)
      this.#unreadable = true
      this.#state = BELOW
      this.#arm(SAMPLE_EVERY_MS)
      return
    }
    this.#unreadable = false
    this.#noteSizes()
    const { next, begin, outcome } = relieve(this.#state, { type, sample: this.#sampleOf(usage) })
    this.#state = next
    if (outcome !== undefined) this.#reportOutcome(outcome)
    if (begin === undefined) this.#arm(SAMPLE_EVERY_MS)
    else void this.#perform(begin)
  }

  #sampleOf({ usedBytes, pressed }: Usage): MemorySample {
    const { highBytes, maxBytes = Number.POSITIVE_INFINITY } = this.#limits
    return {
      atMs: this.#deps.clock.monotonic(),
      usedBytes,
      over: usedBytes >= highBytes || pressed,
      urgent: usedBytes >= maxBytes * URGENT_SHARE,
    }
  }

  /** The heap of a thread is part of this process's anonymous memory, so it is subtracted from the loop's size. */
  #noteSizes(): void {
    const sizes: Sized[] = []
    let threadBytes = 0
    for (const { name, instance } of this.#deps.workers.runners()) {
      const where = instance?.whereabouts
      if (where === undefined) continue
      if (where.pid === process.pid) {
        const heap = where.sample?.heap
        if (heap === undefined) continue
        const bytes = heap.usedBytes + heap.externalBytes
        threadBytes += bytes
        sizes.push({ key: `${name} ${where.pid} ${where.tid ?? ''}`, bytes })
      } else {
        const rollup = readSmapsRollup(where.pid)
        if (rollup.ok) sizes.push({ key: `${name} ${where.pid}`, bytes: rollup.value.anonBytes })
      }
    }
    const own = readSmapsRollup('self')
    if (own.ok) sizes.push({ key: LOOP, bytes: Math.max(0, own.value.anonBytes - threadBytes) })
    this.#growth.note(sizes, this.#deps.clock.monotonic())
  }

  async #perform(step: ReliefStep): Promise<void> {
    try {
      if (step === 'collect') await this.#collect()
      else if (step === 'sleep') await this.#sleep()
      else await reportLargest(this.#growth.largest(), this.#limits, this.#deps, this)
    } catch (error) {
      const facts = { step, ...describeThrown(error) }
      this.#report('warn', 'memory-relief-failed', step, facts, `no memory reclaimed by '${step}'`)
    }
    if (this.#closed) return
    await this.#elapsed(EFFECT_MS)
    if (!this.#closed) this.#sample('done')
  }

  /** Collects in this process, its threads and its child processes: V8 keeps garbage and free pages for later use. */
  async #collect(): Promise<void> {
    for (const { instance } of this.#deps.workers.runners()) instance?.relieve?.('collect')
    const heldMs = Math.round(await collectAll())
    this.#log.debug({ event: 'memory-collected', heldMs }, `a collection blocked the loop for ${heldMs} ms`)
  }

  async #sleep(): Promise<void> {
    const { workers } = this.#deps
    const outside = [...workers.runners()].filter(({ instance }) => instance?.relieve !== undefined)
    for (const { instance } of outside) instance?.relieve?.('sleep')
    await this.#elapsed(EFFECT_MS) // the request and its answer take time
    const ending = outside.filter(({ state }) => state.kind === 'stopping')
    await Promise.race([Promise.all(ending.map((runner) => runner.whenDown())), this.#elapsed(END_MS)])
    const asleep = outside.filter(({ state }) => state.kind === 'dormant').map(({ name }) => name)
    const facts = { count: asleep.length, workers: asleep.slice(0, 20) }
    const text = `${asleep.length} idle threads and processes with a sleepAfter were put to sleep`
    this.#report('info', 'memory-sleepers', '', facts, text)
  }

  #elapsed(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.setTimer(ms, resolve, { unref: true }))
  }

  #reportOutcome({ step, beforeBytes, afterBytes }: NonNullable<ReliefDecision['outcome']>): void {
    const { highBytes, maxBytes } = this.#limits
    const figures = {
      step,
      beforeBytes,
      afterBytes,
      highBytes,
      ...(maxBytes === undefined ? {} : { maxBytes }),
      source: this.#usage.source,
    }
    const text = `memory of the group after '${step}': ${formatMegabytes(beforeBytes)} -> ${formatMegabytes(afterBytes)}, limit ${formatMegabytes(highBytes)}`
    this.#report('warn', 'memory-relief', step, figures, text)
  }
}
