// Watches what the groups of this process use and, over memoryHigh, asks memory back step by step. Loaded only when a
// group has memoryHigh or memoryMax.

import { formatMegabytes } from '../../base/bytes.ts'
import type { Timer } from '../../base/clock.ts'
import { describeThrown } from '../../base/errors.ts'
import type { Logger } from '../../log/logger.ts'
import { readSmapsRollup } from '../../procfs/smaps-rollup.ts'
import { runInScope } from '../../ownership/run-scope.ts'
import { LineBudget } from '../line-budget.ts'
import { collectAll } from '../collect-garbage.ts'
import { limitsOf } from './limits.ts'
import type { GroupLimits } from './limits.ts'
import { reportLargest } from './largest.ts'
import type { Asker, MemoryWatchDeps } from './largest.ts'
import { Growth } from './growth.ts'
import type { Sized } from './growth.ts'
import { BELOW, relieve } from './relief.ts'
import type { Look, ReliefDecision, ReliefEvent, ReliefState, ReliefStep } from './relief.ts'
import { openUsage } from './usage.ts'
import type { Usage, UsageReader } from './usage.ts'

export interface MemoryWatch {
  close(): void
}

const FIRST_LOOK_MS = 1000
const LOOK_EVERY_MS = 5000
/** How much later than due a look may be, to share a wake-up. */
const SLACK_MS = 1000
/** A step has this long before its effect is read. */
const EFFECT_MS = 1000
/** Threads and processes that end have this long. */
const ENDS_MS = 5000
/** So close to memoryMax the kernel may kill before the next round. */
const URGENT_SHARE = 0.95
/** The shared loop among workers. */
const LOOP = ''

/** Undefined: the groups hosted here have no limit, or none that can be watched, which the log says. */
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

class GroupWatch implements MemoryWatch, Asker {
  readonly #deps: MemoryWatchDeps
  readonly #limits: GroupLimits
  readonly #usage: UsageReader
  readonly #growth = new Growth()
  readonly #budget = new LineBudget()
  #state: ReliefState = BELOW
  #timer: Timer | undefined
  #blind = false
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
    this.#arm(FIRST_LOOK_MS)
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
    this.#tell('warn', event, worker, { ...who, ...facts }, text)
  }

  /** A shortage can last for good: three lines an hour for each event and `key`. */
  #tell(level: 'info' | 'warn', event: string, key: string, facts: object, text: string): void {
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
      () => runInScope(undefined, () => this.#look('looked')),
      SLACK_MS,
    )
  }

  #look(type: ReliefEvent['type']): void {
    const usage = this.#usage.read()
    if (typeof usage === 'string') {
      if (!this.#blind)
        this.warn('memory-watch-blind', '', { why: usage }, `memory of the group cannot be read: ${usage}`)
      this.#blind = true
      this.#state = BELOW
      this.#arm(LOOK_EVERY_MS)
      return
    }
    this.#blind = false
    this.#noteSizes()
    const { next, begin, told } = relieve(this.#state, { type, look: this.#judge(usage) })
    this.#state = next
    if (told !== undefined) this.#tellStep(told)
    if (begin === undefined) this.#arm(LOOK_EVERY_MS)
    else void this.#perform(begin)
  }

  #judge({ usedBytes, pressed }: Usage): Look {
    const { highBytes, maxBytes = Number.POSITIVE_INFINITY } = this.#limits
    return {
      atMs: this.#deps.clock.monotonic(),
      usedBytes,
      over: usedBytes >= highBytes || pressed,
      urgent: usedBytes >= maxBytes * URGENT_SHARE,
    }
  }

  /** A thread's heap is in the anonymous memory of this process as well, so it is taken off the loop's. */
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
      this.#tell('warn', 'memory-relief-failed', step, facts, `no memory back by '${step}'`)
    }
    if (this.#closed) return
    await this.#elapsed(EFFECT_MS)
    if (!this.#closed) this.#look('done')
  }

  /** Everybody's: what V8 keeps for later in this process, its threads and its processes. */
  async #collect(): Promise<void> {
    for (const { instance } of this.#deps.workers.runners()) instance?.relieve?.('collect')
    const heldMs = Math.round(await collectAll())
    this.#log.debug({ event: 'memory-collected', heldMs }, `the loop was held ${heldMs} ms to collect`)
  }

  async #sleep(): Promise<void> {
    const { workers } = this.#deps
    const outside = [...workers.runners()].filter(({ instance }) => instance?.relieve !== undefined)
    for (const { instance } of outside) instance?.relieve?.('sleep')
    await this.#elapsed(EFFECT_MS) // they are asked, and answer
    const ending = outside.filter(({ state }) => state.kind === 'stopping')
    await Promise.race([Promise.all(ending.map((runner) => runner.whenDown())), this.#elapsed(ENDS_MS)])
    const asleep = outside.filter(({ state }) => state.kind === 'dormant').map(({ name }) => name)
    const facts = { count: asleep.length, workers: asleep.slice(0, 20) }
    const text = `${asleep.length} idle threads and processes with a sleepAfter were put to sleep`
    this.#tell('info', 'memory-sleepers', '', facts, text)
  }

  #elapsed(ms: number): Promise<void> {
    return new Promise((resolve) => void this.#deps.clock.setTimer(ms, resolve, { unref: true }))
  }

  #tellStep({ step, beforeBytes, afterBytes }: NonNullable<ReliefDecision['told']>): void {
    const { highBytes, maxBytes } = this.#limits
    const figures = {
      step,
      beforeBytes,
      afterBytes,
      highBytes,
      ...(maxBytes === undefined ? {} : { maxBytes }),
      source: this.#usage.source,
    }
    const text = `memory of the group after '${step}': ${formatMegabytes(beforeBytes)} -> ${formatMegabytes(afterBytes)}, asked back over ${formatMegabytes(highBytes)}`
    this.#tell('warn', 'memory-relief', step, figures, text)
  }
}
