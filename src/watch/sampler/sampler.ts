// Samples the threads and processes of a herd from /proc, so that a worker whose loop is starved is sampled like any other. One
// timer serves all of them; without a thread or process there is none. Loaded with the first thread or process.

import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../log/logger.ts'
import { PROC_ROOT } from '../../procfs/read.ts'
import { readStat } from '../../procfs/stat.ts'
import type { HeapFigures, WorkerSample } from '../../herd/status.ts'
import { readUnits, Target, USUAL_UNITS } from './target.ts'
import type { KernelUnits, Watched } from './target.ts'

/** One run of one worker, sampled until `close`. */
export interface Watch {
  /** The current figures, absent ones with their reasons; undefined when the sampler is off. */
  read(): WorkerSample | undefined
  /** The last figures that could be read, as evidence for the end of the run. */
  last(): WorkerSample | undefined
  /** The child's answer to `requestHeap`. */
  heap(figures: HeapFigures): void
  /** Ends the series. Idempotent. */
  close(): void
}

export interface Sampler {
  watch(watched: Watched): Watch
}

/** `sampler` of the config. */
export interface SamplerSettings {
  readonly enabled: boolean
  readonly intervalMs: number
}

export interface SamplerOptions extends SamplerSettings {
  readonly clock: Clock
  readonly log: Logger
  /** @default '/proc' */
  readonly root?: string
}

/** Delay of the first sample of a run, so that a short run has figures too. */
const FIRST_MS = 1000

export function createSampler(options: SamplerOptions): Sampler {
  const why = whyOff(options)
  if (why === undefined) return new ProcSampler(options)
  let logged = false
  return {
    watch() {
      if (!logged)
        options.log.info({ event: 'sampler-off', why }, `threads and processes are not sampled: ${why}`)
      logged = true
      return { read: () => undefined, last: () => undefined, heap: () => {}, close: () => {} }
    },
  }
}

function whyOff({ enabled, root }: SamplerOptions): string | undefined {
  if (!enabled) return 'sampler.enabled is false'
  const self = readStat(process.pid, root)
  return self.ok ? undefined : `${self.path} is ${self.reason}`
}

class ProcSampler implements Sampler {
  readonly #options: SamplerOptions
  readonly #units: KernelUnits
  readonly #targets = new Map<Target, { due: number }>()
  /** Workers and reasons logged already. */
  readonly #logged = new Set<string>()
  #timer: Timer | undefined

  constructor(options: SamplerOptions) {
    this.#options = options
    const units = readUnits(options.root)
    this.#units = units.ok ? units.value : USUAL_UNITS
    if (!units.ok)
      options.log.warn(
        { event: 'sampler-units', reason: units.reason, ...USUAL_UNITS },
        `${units.path} is ${units.reason}: assuming ${USUAL_UNITS.ticksPerSecond} clock ticks a second and pages of ${USUAL_UNITS.pageSizeBytes} bytes`,
      )
  }

  watch(watched: Watched): Watch {
    const { clock, intervalMs, root = PROC_ROOT } = this.#options
    const target = new Target(watched, this.#units, root)
    this.#targets.set(target, { due: clock.monotonic() + Math.min(FIRST_MS, intervalMs) })
    this.#arm()
    return {
      read: () => target.sample(this.#moment(), intervalMs),
      last: () => target.evidence(this.#moment()),
      heap: (figures) => target.heap(figures, this.#moment()),
      close: () => this.#drop(target),
    }
  }

  #moment(): { at: number; monotonic: number } {
    const { clock } = this.#options
    return { at: clock.now(), monotonic: clock.monotonic() }
  }

  #arm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    const dues = [...this.#targets.values()].map(({ due }) => due)
    if (dues.length === 0) return
    const { clock } = this.#options
    const delayMs = Math.max(0, Math.min(...dues) - clock.monotonic())
    this.#timer = clock.setTimer(delayMs, () => this.#tick(), { unref: true })
  }

  /** Samples the targets that are due now or within a tenth of the interval, to share one wake-up. */
  #tick(): void {
    const { intervalMs } = this.#options
    const moment = this.#moment()
    for (const [target, entry] of this.#targets) {
      if (entry.due > moment.monotonic + intervalMs / 10) continue
      entry.due = moment.monotonic + intervalMs
      this.#take(target, moment)
    }
    this.#arm()
  }

  #take(target: Target, moment: { at: number; monotonic: number }): void {
    const outcome = target.take(moment)
    if (outcome === 'taken') return
    const { worker, kind, pid } = target.watched
    // The placement reports the end of the run. A reading that failed once may succeed the next time.
    if (outcome === 'gone') this.#targets.delete(target)
    const key = `${worker}:${outcome}`
    if (this.#logged.has(key)) return
    this.#logged.add(key)
    const what = outcome === 'gone' ? 'is gone, or its pid was reused' : `cannot be read: ${outcome}`
    this.#options.log.warn(
      { event: 'sampler-stopped', worker, pid, reason: outcome },
      `no figures of '${worker}' for now: its ${kind} ${what}`,
    )
  }

  #drop(target: Target): void {
    if (!this.#targets.delete(target)) return
    this.#arm()
  }
}
