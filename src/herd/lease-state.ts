// The states of a worker that runs only under its lease: every start first acquires the lease, and the lease is released once
// nothing of the worker runs. Pure; wraps the transition that every worker has.

import { assertNever } from '../base/check.ts'
import type { Wake } from '../worker/contract.ts'
import { isLive, transition } from './state.ts'
import type { Effect, Step, Supervised, TransitionContext, WorkerEvent, WorkerState } from './state.ts'

export type LeaseEvent =
  | WorkerEvent
  /** The lease was acquired. */
  | { readonly type: 'lease-won' }
  | { readonly type: 'lease-lost'; readonly why: string }

/** Like `transition`, for a worker that needs a lease. */
export function supervise(current: Supervised, event: LeaseEvent, ctx: TransitionContext): Step {
  if (event.type === 'lease-won') return won(current)
  if (event.type === 'lease-lost') return lost(current, event.why)
  return underLease(current.state, transition(current, event, ctx))
}

function won(current: Supervised): Step {
  const { state } = current
  if (state.kind !== 'standby') return { next: current, effects: [], reason: '' }
  const effects: Effect[] = [{ type: 'arm-start-timeout' }, { type: 'load' }]
  return at(current, { kind: 'loading', wake: state.wake }, effects, 'lease acquired')
}

/** The run stops at once and the worker waits for the lease again. */
function lost(current: Supervised, why: string): Step {
  const { state } = current
  const reason = `lease lost: ${why}`
  switch (state.kind) {
    case 'standby': // the loss arrived before the acquisition
      return at(current, state, [{ type: 'seek-lease' }], reason)
    case 'loading':
      return standBy(current, state.wake, [{ type: 'disarm-start-timeout' }, { type: 'abandon' }], reason)
    case 'starting':
    case 'running': {
      const effects: Effect[] = [
        { type: 'disarm-start-timeout' },
        { type: 'arm-stop-timeout' },
        { type: 'abort', reason: 'lease-lost' },
      ]
      const { wake } = state
      return at(current, { kind: 'stopping', wake, after: { kind: 'start', wake }, upMs: 0 }, effects, reason)
    }
    case 'dormant': // ended, or ending
    case 'stopped':
    case 'stopping':
    case 'backing-off':
    case 'quarantined':
      return { next: current, effects: [], reason: '' }
    default:
      return assertNever(state)
  }
}

function underLease(before: WorkerState, step: Step): Step {
  const { state } = step.next
  if (state.kind === 'loading' && step.effects.some(({ type }) => type === 'load')) {
    const rest = step.effects.filter(({ type }) => type !== 'load' && type !== 'arm-start-timeout')
    const dropped = holds(before) ? [...rest, DROP] : rest
    return standBy(step.next, state.wake, dropped, step.reason)
  }
  if (!holds(before) || holds(state)) return step
  return { ...step, effects: [...step.effects, DROP] }
}

function standBy(current: Supervised, wake: Wake, effects: readonly Effect[], why: string): Step {
  return at(
    current,
    { kind: 'standby', wake },
    [...effects, { type: 'seek-lease' }],
    `${why}; waiting for the lease`,
  )
}

function at(current: Supervised, state: WorkerState, effects: readonly Effect[], reason: string): Step {
  return { next: { state, history: current.history }, effects, reason }
}

/** The worker holds the lease or waits for it. */
function holds(state: WorkerState): boolean {
  return isLive(state) || state.kind === 'standby'
}

const DROP: Effect = { type: 'drop-lease' }
