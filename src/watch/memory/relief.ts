// What a group over its memory does next, one step after the other, gentlest first. Pure: the watch looks, performs and
// tells.

/** `collect`: garbage back to the kernel. `sleep`: idle threads and processes with a sleepAfter end. `largest`: who grew most is named. */
export type ReliefStep = 'collect' | 'sleep' | 'largest'

export const RELIEF_STEPS: readonly ReliefStep[] = ['collect', 'sleep', 'largest']

export type ReliefState =
  | { readonly kind: 'below' }
  /** `beforeBytes`: what was used when the step began. */
  | {
      readonly kind: 'relieving'
      readonly step: ReliefStep
      readonly beforeBytes: number
      readonly fruitless: number
    }
  /** A round is over. `fruitless`: so many in a row left it over. */
  | { readonly kind: 'cool-down'; readonly sinceMs: number; readonly fruitless: number }

export interface Look {
  /** Monotonic. */
  readonly atMs: number
  readonly usedBytes: number
  readonly over: boolean
  /** Close to the bound at which the kernel kills. */
  readonly urgent: boolean
}

export interface ReliefEvent {
  /** `done`: the step that was begun has had its time; else nothing but time has passed. */
  readonly type: 'looked' | 'done'
  readonly look: Look
}

export interface ReliefDecision {
  readonly next: ReliefState
  readonly begin?: ReliefStep
  /** What the step that is over gave. */
  readonly told?: { readonly step: ReliefStep; readonly beforeBytes: number; readonly afterBytes: number }
}

/** Between two rounds: each holds the loop for some tens of milliseconds. Doubles with each further round in a row that
 *  was in vain: a bound that cannot be reached is not worth a collection a minute. */
export const COOL_DOWN_MS = 60_000
export const URGENT_COOL_DOWN_MS = 10_000
export const COOL_DOWN_MAX_MS = 3_600_000

export const BELOW: ReliefState = { kind: 'below' }

export function relieve(state: ReliefState, { type, look }: ReliefEvent): ReliefDecision {
  if (state.kind === 'relieving') {
    if (type === 'looked') return { next: state } // the step under way is to have its effect first
    const told = { step: state.step, beforeBytes: state.beforeBytes, afterBytes: look.usedBytes }
    const after = RELIEF_STEPS[RELIEF_STEPS.indexOf(state.step) + 1]
    if (look.over && after !== undefined) return { ...begin(after, look, state.fruitless), told }
    const fruitless = look.over ? state.fruitless + 1 : 0
    return { next: { kind: 'cool-down', sinceMs: look.atMs, fruitless }, told }
  }
  if (type === 'done') return { next: state } // of a step that is forgotten
  if (state.kind === 'cool-down') {
    const calm = look.over ? state : { ...state, fruitless: 0 } // what comes after this is a new shortage
    if (look.atMs - state.sinceMs < coolDownMs(calm.fruitless, look)) return { next: calm }
    return look.over ? begin('collect', look, state.fruitless) : { next: BELOW }
  }
  return look.over ? begin('collect', look, 0) : { next: BELOW }
}

function coolDownMs(fruitless: number, { over, urgent }: Look): number {
  const firstMs = over && urgent ? URGENT_COOL_DOWN_MS : COOL_DOWN_MS
  return Math.min(firstMs * 2 ** Math.max(0, fruitless - 1), COOL_DOWN_MAX_MS)
}

function begin(step: ReliefStep, { usedBytes }: Look, fruitless: number): ReliefDecision {
  return { next: { kind: 'relieving', step, beforeBytes: usedBytes, fruitless }, begin: step }
}
