// The next step of a group that uses too much memory, mildest first. Pure: watch.ts samples, performs the step and logs.

/** `collect`: return garbage to the kernel. `sleep`: end idle threads and processes with a sleepAfter. `largest`: report what
 *  grew most. */
export type ReliefStep = 'collect' | 'sleep' | 'largest'

export const RELIEF_STEPS: readonly ReliefStep[] = ['collect', 'sleep', 'largest']

export type ReliefState =
  | { readonly kind: 'below' }
  /** `beforeBytes`: usage when the step began. */
  | {
      readonly kind: 'relieving'
      readonly step: ReliefStep
      readonly beforeBytes: number
      readonly failedRounds: number
    }
  /** After a round. `failedRounds`: consecutive rounds that left the group over its limit. */
  | { readonly kind: 'cool-down'; readonly sinceMs: number; readonly failedRounds: number }

export interface MemorySample {
  /** Monotonic. */
  readonly atMs: number
  readonly usedBytes: number
  readonly over: boolean
  /** Close to the limit at which the kernel kills. */
  readonly urgent: boolean
}

export interface ReliefEvent {
  /** `done`: the step in progress has had time to take effect. `sampled`: a regular sample. */
  readonly type: 'sampled' | 'done'
  readonly sample: MemorySample
}

export interface ReliefDecision {
  readonly next: ReliefState
  readonly begin?: ReliefStep
  /** The effect of the step that is over. */
  readonly outcome?: {
    readonly step: ReliefStep
    readonly beforeBytes: number
    readonly afterBytes: number
  }
}

/** Pause between two rounds, since each round blocks the loop for some tens of milliseconds. The pause doubles with each
 *  consecutive failed round, because a limit that cannot be reached is not worth a collection every minute. */
export const COOL_DOWN_MS = 60_000
export const URGENT_COOL_DOWN_MS = 10_000
export const COOL_DOWN_MAX_MS = 3_600_000

export const BELOW: ReliefState = { kind: 'below' }

export function relieve(state: ReliefState, { type, sample }: ReliefEvent): ReliefDecision {
  if (state.kind === 'relieving') {
    if (type === 'sampled') return { next: state } // the step in progress takes effect first
    const outcome = { step: state.step, beforeBytes: state.beforeBytes, afterBytes: sample.usedBytes }
    const after = RELIEF_STEPS[RELIEF_STEPS.indexOf(state.step) + 1]
    if (sample.over && after !== undefined) return { ...begin(after, sample, state.failedRounds), outcome }
    const failedRounds = sample.over ? state.failedRounds + 1 : 0
    return { next: { kind: 'cool-down', sinceMs: sample.atMs, failedRounds }, outcome }
  }
  if (type === 'done') return { next: state } // of an abandoned step
  if (state.kind === 'cool-down') {
    const calm = sample.over ? state : { ...state, failedRounds: 0 } // usage above the limit later is a new shortage
    if (sample.atMs - state.sinceMs < coolDownMs(calm.failedRounds, sample)) return { next: calm }
    return sample.over ? begin('collect', sample, state.failedRounds) : { next: BELOW }
  }
  return sample.over ? begin('collect', sample, 0) : { next: BELOW }
}

function coolDownMs(failedRounds: number, { over, urgent }: MemorySample): number {
  const firstMs = over && urgent ? URGENT_COOL_DOWN_MS : COOL_DOWN_MS
  return Math.min(firstMs * 2 ** Math.max(0, failedRounds - 1), COOL_DOWN_MAX_MS)
}

function begin(step: ReliefStep, { usedBytes }: MemorySample, failedRounds: number): ReliefDecision {
  return { next: { kind: 'relieving', step, beforeBytes: usedBytes, failedRounds }, begin: step }
}
