// The states of a worker and the one pure transition between them. Decided here; the runner emits the transition, performs
// the returned effects and reports what happens as further events.

import { assertNever } from '../base/check.ts'
import type { Random } from '../base/clock.ts'
import type { OnLimit } from '../config/types.ts'
import type { Wake } from '../worker/contract.ts'
import type { LoadNeeds } from '../worker/load.ts'
import type { StopKind } from '../worker/stop-reason.ts'
import { decideRestart, NO_FAILURES } from './restart.ts'
import type { FailureHistory, RestartPolicyInput } from './restart.ts'
import type { Verdict } from './status.ts'

/** The next step once the run that is being stopped has ended. */
export type AfterStop =
  | { readonly kind: 'rest' }
  /** Rest; a lazy worker becomes dormant and can be woken. */
  | { readonly kind: 'sleep' }
  /** Start again at once, with an empty failure history. */
  | { readonly kind: 'start'; readonly wake: Wake }
  /** The stop was caused by a failure: the restart policy decides. */
  | { readonly kind: 'failed' }

export type WorkerState =
  | { readonly kind: 'dormant' }
  | { readonly kind: 'loading'; readonly wake: Wake }
  | { readonly kind: 'starting'; readonly wake: Wake }
  | { readonly kind: 'running'; readonly wake: Wake; readonly readyAt: number }
  | {
      readonly kind: 'stopping'
      readonly wake: Wake
      readonly after: AfterStop
      readonly upMs: number
      readonly verdict?: Verdict
    }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'backing-off'; readonly wake: Wake; readonly delayMs: number }
  | { readonly kind: 'quarantined'; readonly why: string }
  | { readonly kind: 'standby'; readonly wake: Wake }

export type WorkerEvent =
  | { readonly type: 'start'; readonly wake: Wake }
  | { readonly type: 'loaded' }
  | { readonly type: 'ready' }
  /** run() settled, or loading failed. */
  | { readonly type: 'ended'; readonly verdict: Verdict; readonly text: string; readonly needs?: LoadNeeds }
  /** A stray error or process.exit was charged to the current run. */
  | { readonly type: 'charged'; readonly verdict: Verdict; readonly text: string; readonly stop: StopKind }
  | { readonly type: 'start-timeout' }
  | { readonly type: 'stop'; readonly reason: StopKind; readonly after: AfterStop }
  | { readonly type: 'stop-timeout' }
  | { readonly type: 'backoff-elapsed' }
  | { readonly type: 'isolate'; readonly why: string }

export type Effect =
  | { readonly type: 'load' }
  | { readonly type: 'run' }
  | { readonly type: 'abort'; readonly reason: StopKind }
  /** Abandons the current run: closes its scope and ignores its later reports. */
  | { readonly type: 'abandon' }
  | { readonly type: 'arm-start-timeout' }
  | { readonly type: 'disarm-start-timeout' }
  | { readonly type: 'arm-stop-timeout' }
  | { readonly type: 'disarm-stop-timeout' }
  | { readonly type: 'arm-backoff'; readonly delayMs: number }
  | { readonly type: 'disarm-backoff' }
  /** A critical worker is lost: the herd stops. */
  | { readonly type: 'escalate'; readonly why: string }
  /** Requests the worker's lease (lease-state.ts). */
  | { readonly type: 'seek-lease' }
  | { readonly type: 'drop-lease' }
  /** Moves the worker to placement `process` from its next run on. */
  | { readonly type: 'eject'; readonly why: string }

export interface TransitionContext extends RestartPolicyInput {
  readonly onLimit: OnLimit
  readonly critical: boolean
  /** The worker can be ejected: it does not run in a process. */
  readonly ejectable: boolean
  /** Rests in state dormant instead of stopped. */
  readonly lazy: boolean
  /** Monotonic ms. */
  readonly now: number
  readonly random: Random
}

/** The complete supervision state of one worker. */
export interface Supervised {
  readonly state: WorkerState
  readonly history: FailureHistory
}

export interface Step {
  readonly next: Supervised
  readonly effects: readonly Effect[]
  /** The `reason` of the transition event, in a few words. */
  readonly reason: string
}

/** The step that `event` causes in `current`. An event that does not apply changes nothing and has no effects. */
export function transition(current: Supervised, event: WorkerEvent, ctx: TransitionContext): Step {
  switch (event.type) {
    case 'start':
      return start(current, event.wake)
    case 'loaded':
      if (current.state.kind !== 'loading') return stay(current)
      return to(current, { kind: 'starting', wake: current.state.wake }, [{ type: 'run' }], 'loaded')
    case 'ready':
      if (current.state.kind !== 'starting') return stay(current)
      return to(
        current,
        { kind: 'running', wake: current.state.wake, readyAt: ctx.now },
        [{ type: 'disarm-start-timeout' }],
        'ready',
      )
    case 'ended':
      return ended(current, event, ctx)
    case 'charged':
      return charged(current, event, ctx)
    case 'start-timeout':
      return startTimeout(current, ctx)
    case 'stop':
      return stop(current, event, ctx)
    case 'stop-timeout':
      if (current.state.kind !== 'stopping') return stay(current)
      return afterStop(current, current.state, ctx, [{ type: 'abandon' }], 'unstopped')
    case 'backoff-elapsed':
      if (current.state.kind !== 'backing-off') return stay(current)
      return launch(current, current.state.wake, 'backoff elapsed')
    case 'isolate':
      if (isLive(current.state)) return stay(current)
      return to(current, { kind: 'quarantined', why: event.why }, [{ type: 'disarm-backoff' }], event.why)
    default:
      return assertNever(event)
  }
}

/** Nothing of the worker runs, and only a command starts it again. */
export function isDown({ kind }: WorkerState): boolean {
  return kind === 'stopped' || kind === 'quarantined'
}

/** A run exists: the module is loading or run() has not settled. */
export function isLive(state: WorkerState): boolean {
  return (
    state.kind === 'loading' ||
    state.kind === 'starting' ||
    state.kind === 'running' ||
    state.kind === 'stopping'
  )
}

function stay(current: Supervised): Step {
  return { next: current, effects: [], reason: '' }
}

function to(current: Supervised, state: WorkerState, effects: readonly Effect[], reason: string): Step {
  return { next: { state, history: current.history }, effects, reason }
}

function launch(current: Supervised, wake: Wake, reason: string): Step {
  return to(current, { kind: 'loading', wake }, [{ type: 'arm-start-timeout' }, { type: 'load' }], reason)
}

function start(current: Supervised, wake: Wake): Step {
  const { state } = current
  switch (state.kind) {
    case 'dormant':
    case 'stopped':
      return launch(current, wake, `woken by ${wake.by}`)
    case 'backing-off': // only a manual start shortens a backoff; messages and ticks wait for it
      if (wake.by !== 'manual') return stay(current)
      return prepend([{ type: 'disarm-backoff' }], launch(clean(current), wake, 'woken by manual'))
    case 'quarantined': // only a manual start ends a quarantine; it clears the history
      return wake.by === 'manual' ? launch(clean(current), wake, 'quarantine ended by hand') : stay(current)
    case 'stopping': // after a failure the restart policy decides, unless the start is manual
      if (state.after.kind === 'start' || (state.after.kind === 'failed' && wake.by !== 'manual'))
        return stay(current)
      return to(current, { ...state, after: { kind: 'start', wake } }, [], 'start requested while stopping')
    case 'standby':
    case 'loading':
    case 'starting':
    case 'running':
      return stay(current)
    default:
      return assertNever(state)
  }
}

function clean(current: Supervised): Supervised {
  return { ...current, history: NO_FAILURES }
}

function prepend(effects: readonly Effect[], step: Step): Step {
  return { ...step, effects: [...effects, ...step.effects] }
}

function ended(
  current: Supervised,
  event: Extract<WorkerEvent, { type: 'ended' }>,
  ctx: TransitionContext,
): Step {
  const { state } = current
  const disarm: Effect[] = [{ type: 'disarm-start-timeout' }]
  if (state.kind === 'stopping') {
    return afterStop(current, state, ctx, [{ type: 'disarm-stop-timeout' }], state.verdict ?? event.verdict)
  }
  if (state.kind !== 'loading' && state.kind !== 'starting' && state.kind !== 'running') return stay(current)
  const upMs = state.kind === 'running' ? ctx.now - state.readyAt : 0
  const failed = event.verdict !== 'done' && event.verdict !== 'stopped'
  if (event.needs !== undefined) {
    const ejectable = ctx.ejectable && event.needs === 'new-process'
    return prepend(disarm, giveUp(current, event.text, state.wake, { ...ctx, ejectable }))
  }
  return prepend(disarm, rest(current, { failed, upMs, wake: state.wake, text: event.text }, ctx))
}

interface End {
  readonly failed: boolean
  readonly upMs: number
  readonly wake: Wake
  readonly text: string
}

/** A run ended by itself: the restart policy decides. */
function rest(current: Supervised, end: End, ctx: TransitionContext): Step {
  // A lazy worker that is done becomes dormant regardless of `restart`: its next wake is its restart.
  if (ctx.lazy && !end.failed) return to(clean(current), resting(ctx), [], end.text)
  const decision = decideRestart(
    ctx,
    current.history,
    { failed: end.failed, at: ctx.now, upMs: end.upMs },
    ctx.random,
  )
  const next = { ...current, history: decision.history }
  switch (decision.kind) {
    case 'rest':
      return to(next, resting(ctx), [], end.text)
    case 'restart': {
      const effects: Effect[] = [{ type: 'arm-backoff', delayMs: decision.delayMs }]
      return to(next, { kind: 'backing-off', wake: end.wake, delayMs: decision.delayMs }, effects, end.text)
    }
    case 'limit': {
      const ends = `${decision.failures} ${end.failed ? 'failures' : 'ends'} within ${ctx.limit.withinMs / 1000} s`
      return giveUp(next, `${ends}, the last: ${end.text}`, end.wake, ctx)
    }
    default:
      return assertNever(decision)
  }
}

function resting(ctx: TransitionContext): WorkerState {
  return ctx.lazy ? { kind: 'dormant' } : { kind: 'stopped' }
}

function giveUp(current: Supervised, why: string, wake: Wake, ctx: TransitionContext): Step {
  if (ctx.onLimit === 'eject' && ctx.ejectable)
    return prepend([{ type: 'eject', why }], launch(clean(current), wake, `ejected: ${why}`))
  const escalate = ctx.critical || ctx.onLimit === 'exit'
  return to(current, { kind: 'quarantined', why }, escalate ? [{ type: 'escalate', why }] : [], why)
}

function charged(
  current: Supervised,
  event: Extract<WorkerEvent, { type: 'charged' }>,
  ctx: TransitionContext,
): Step {
  const { state } = current
  if (state.kind === 'loading') {
    // An import cannot be cancelled; its result is ignored.
    const failed = event.verdict !== 'done'
    const after = rest(current, { failed, upMs: 0, wake: state.wake, text: event.text }, ctx)
    return prepend([{ type: 'disarm-start-timeout' }, { type: 'abandon' }], after)
  }
  if (state.kind !== 'starting' && state.kind !== 'running') return stay(current)
  const upMs = state.kind === 'running' ? ctx.now - state.readyAt : 0
  const next: WorkerState = {
    kind: 'stopping',
    wake: state.wake,
    after: { kind: 'failed' },
    upMs,
    verdict: event.verdict,
  }
  const effects: Effect[] = [
    { type: 'disarm-start-timeout' },
    { type: 'arm-stop-timeout' },
    { type: 'abort', reason: event.stop },
  ]
  return to(current, next, effects, event.text)
}

function startTimeout(current: Supervised, ctx: TransitionContext): Step {
  const { state } = current
  if (state.kind === 'loading') {
    const end = { failed: true, upMs: 0, wake: state.wake, text: 'start timed out while loading' }
    return prepend([{ type: 'abandon' }], rest(current, end, ctx))
  }
  if (state.kind !== 'starting') return stay(current)
  const next: WorkerState = {
    kind: 'stopping',
    wake: state.wake,
    after: { kind: 'failed' },
    upMs: 0,
    verdict: 'launch-failed',
  }
  const effects: Effect[] = [{ type: 'arm-stop-timeout' }, { type: 'abort', reason: 'start-timeout' }]
  return to(current, next, effects, 'start timed out before ready')
}

function stop(
  current: Supervised,
  event: Extract<WorkerEvent, { type: 'stop' }>,
  ctx: TransitionContext,
): Step {
  const { state } = current
  const then = (from: Supervised, effects: readonly Effect[]): Step => {
    if (event.after.kind === 'start')
      return prepend(effects, launch(clean(from), event.after.wake, event.reason))
    // A lazy worker that was put to sleep can be woken; one that was stopped cannot.
    const rested: WorkerState = event.after.kind === 'sleep' ? resting(ctx) : { kind: 'stopped' }
    return rested.kind === state.kind ? stay(current) : to(from, rested, effects, event.reason)
  }
  switch (state.kind) {
    case 'dormant':
    case 'stopped':
    case 'standby':
    case 'quarantined':
      return then(current, [])
    case 'backing-off':
      return then(current, [{ type: 'disarm-backoff' }])
    case 'loading': // run() has not been called; the import continues in the background and is ignored
      return then(current, [{ type: 'disarm-start-timeout' }, { type: 'abandon' }])
    case 'starting':
    case 'running': {
      const upMs = state.kind === 'running' ? ctx.now - state.readyAt : 0
      const next: WorkerState = { kind: 'stopping', wake: state.wake, after: event.after, upMs }
      const effects: Effect[] = [
        { type: 'disarm-start-timeout' },
        { type: 'arm-stop-timeout' },
        { type: 'abort', reason: event.reason },
      ]
      return to(current, next, effects, event.reason)
    }
    case 'stopping': // the later request decides what follows; the abort was sent already
      return to(current, { ...state, after: event.after }, [], event.reason)
    default:
      return assertNever(state)
  }
}

function afterStop(
  current: Supervised,
  state: Extract<WorkerState, { kind: 'stopping' }>,
  ctx: TransitionContext,
  effects: readonly Effect[],
  reason: string,
): Step {
  switch (state.after.kind) {
    case 'start':
      return prepend(effects, launch(clean(current), state.after.wake, 'restart'))
    case 'rest':
      return to(clean(current), { kind: 'stopped' }, effects, reason)
    case 'sleep':
      return to(clean(current), resting(ctx), effects, reason)
    case 'failed': {
      const failed = state.verdict !== 'done'
      const end = { failed, upMs: state.upMs, wake: state.wake, text: String(state.verdict ?? reason) }
      return prepend(effects, rest(current, end, ctx))
    }
    default:
      return assertNever(state.after)
  }
}
