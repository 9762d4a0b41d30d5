import fc from 'fast-check'
import t from 'tap'
import { NO_FAILURES } from '../../src/herd/restart.ts'
import { isLive, transition } from '../../src/herd/state.ts'
import type { Supervised, TransitionContext, WorkerEvent, WorkerState } from '../../src/herd/state.ts'

const wake = { by: 'start' as const, at: 0 }
const manual = { by: 'manual' as const, at: 0 }
const context = (over: Partial<TransitionContext> = {}): TransitionContext => ({
  restart: 'on-failure',
  backoff: { firstMs: 0, baseMs: 1000, factor: 2, maxMs: 60_000, resetAfterMs: 600_000 },
  limit: { failures: 3, withinMs: 300_000 },
  onLimit: 'quarantine',
  critical: false,
  ejectable: true,
  lazy: false,
  now: 1000,
  random: () => 0,
  ...over,
})
const at = (state: WorkerState): Supervised => ({ state, history: NO_FAILURES })
const failure: WorkerEvent = { type: 'ended', verdict: 'failed', text: 'boom' }
const done: WorkerEvent = { type: 'ended', verdict: 'done', text: 'done' }
const charge: WorkerEvent = { type: 'charged', verdict: 'threw-stray', text: 'stray', stop: 'failed' }
const stop: WorkerEvent = { type: 'stop', reason: 'stop', after: { kind: 'rest' } }
const sleep: WorkerEvent = { type: 'stop', reason: 'sleep', after: { kind: 'sleep' } }
const restart: WorkerEvent = { type: 'stop', reason: 'restart', after: { kind: 'start', wake: manual } }

const running: WorkerState = { kind: 'running', wake, readyAt: 0 }
const starting: WorkerState = { kind: 'starting', wake }
const loading: WorkerState = { kind: 'loading', wake }
const backingOff: WorkerState = { kind: 'backing-off', wake, delayMs: 5 }
const quarantined: WorkerState = { kind: 'quarantined', why: 'x' }
const stopping = (after: Extract<WorkerState, { kind: 'stopping' }>['after']): WorkerState => ({
  kind: 'stopping',
  wake,
  after,
  upMs: 0,
})

t.test('each state answers each event as the table says', async (t) => {
  const table: [string, WorkerState, WorkerEvent, string, string[], Partial<TransitionContext>?][] = [
    [
      'a stopped worker loads when started',
      { kind: 'stopped' },
      { type: 'start', wake },
      'loading',
      ['arm-start-timeout', 'load'],
    ],
    [
      'a dormant worker loads on a topic',
      { kind: 'dormant' },
      { type: 'start', wake: { by: 'topic', at: 0 } },
      'loading',
      ['arm-start-timeout', 'load'],
    ],
    ['a loaded worker is run', loading, { type: 'loaded' }, 'starting', ['run']],
    ['ready ends the start time-out', starting, { type: 'ready' }, 'running', ['disarm-start-timeout']],
    ['a second ready changes nothing', running, { type: 'ready' }, 'running', []],
    ['a failure backs off', running, failure, 'backing-off', ['disarm-start-timeout', 'arm-backoff']],
    [
      'a failure while starting backs off',
      starting,
      failure,
      'backing-off',
      ['disarm-start-timeout', 'arm-backoff'],
    ],
    [
      'a failed load backs off',
      loading,
      { type: 'ended', verdict: 'launch-failed', text: '' },
      'backing-off',
      ['disarm-start-timeout', 'arm-backoff'],
    ],
    [
      'a load that needs a new process takes the limit at once',
      loading,
      { type: 'ended', verdict: 'launch-failed', text: '', needs: 'new-process' },
      'quarantined',
      ['disarm-start-timeout'],
    ],
    [
      'a load that needs new code takes the limit at once, under every restart policy',
      loading,
      { type: 'ended', verdict: 'launch-failed', text: '', needs: 'new-code' },
      'quarantined',
      ['disarm-start-timeout'],
      { restart: 'never', lazy: true },
    ],
    [
      'what needs new code is not ejected: it would fail there as well',
      loading,
      { type: 'ended', verdict: 'launch-failed', text: '', needs: 'new-code' },
      'quarantined',
      ['disarm-start-timeout'],
      { onLimit: 'eject' },
    ],
    [
      'what needs new code takes the herd with it where its config says so',
      loading,
      { type: 'ended', verdict: 'launch-failed', text: '', needs: 'new-code' },
      'quarantined',
      ['disarm-start-timeout', 'escalate'],
      { onLimit: 'exit' },
    ],
    ['done is stopped', running, done, 'stopped', ['disarm-start-timeout']],
    ['done is dormant again when lazy', running, done, 'dormant', ['disarm-start-timeout'], { lazy: true }],
    [
      'done under always restarts',
      running,
      done,
      'backing-off',
      ['disarm-start-timeout', 'arm-backoff'],
      { restart: 'always' },
    ],
    [
      'a failure under never rests',
      running,
      failure,
      'stopped',
      ['disarm-start-timeout'],
      { restart: 'never' },
    ],
    [
      'a failure under never is dormant when lazy',
      running,
      failure,
      'dormant',
      ['disarm-start-timeout'],
      { restart: 'never', lazy: true },
    ],
    [
      'a charge stops the run first',
      running,
      charge,
      'stopping',
      ['disarm-start-timeout', 'arm-stop-timeout', 'abort'],
    ],
    [
      'a charge while loading abandons the load',
      loading,
      charge,
      'backing-off',
      ['disarm-start-timeout', 'abandon', 'arm-backoff'],
    ],
    ['a charge while stopping changes nothing', stopping({ kind: 'rest' }), charge, 'stopping', []],
    [
      'a load that takes too long is abandoned',
      loading,
      { type: 'start-timeout' },
      'backing-off',
      ['abandon', 'arm-backoff'],
    ],
    [
      'a start that takes too long is stopped',
      starting,
      { type: 'start-timeout' },
      'stopping',
      ['arm-stop-timeout', 'abort'],
    ],
    ['a late start time-out changes nothing', running, { type: 'start-timeout' }, 'running', []],
    ['stop aborts', running, stop, 'stopping', ['disarm-start-timeout', 'arm-stop-timeout', 'abort']],
    ['stop while loading abandons', loading, stop, 'stopped', ['disarm-start-timeout', 'abandon']],
    ['stop while backing off disarms', backingOff, stop, 'stopped', ['disarm-backoff']],
    ['stop of a dormant worker makes it stopped', { kind: 'dormant' }, stop, 'stopped', [], { lazy: true }],
    ['stop of a stopped worker changes nothing', { kind: 'stopped' }, stop, 'stopped', []],
    ['restart of a quarantined worker loads', quarantined, restart, 'loading', ['arm-start-timeout', 'load']],
    ['a message does not shorten a backoff', backingOff, { type: 'start', wake }, 'backing-off', []],
    [
      'a person shortens a backoff',
      backingOff,
      { type: 'start', wake: manual },
      'loading',
      ['disarm-backoff', 'arm-start-timeout', 'load'],
    ],
    ['a message does not end a quarantine', quarantined, { type: 'start', wake }, 'quarantined', []],
    [
      'a person ends a quarantine',
      quarantined,
      { type: 'start', wake: manual },
      'loading',
      ['arm-start-timeout', 'load'],
    ],
    ['the end of a stop rests', stopping({ kind: 'rest' }), done, 'stopped', ['disarm-stop-timeout']],
    [
      'the end of a restart loads',
      stopping({ kind: 'start', wake }),
      done,
      'loading',
      ['disarm-stop-timeout', 'arm-start-timeout', 'load'],
    ],
    [
      'the end of a failed run backs off',
      stopping({ kind: 'failed' }),
      done,
      'backing-off',
      ['disarm-stop-timeout', 'arm-backoff'],
    ],
    [
      'a stop that takes too long is abandoned',
      stopping({ kind: 'rest' }),
      { type: 'stop-timeout' },
      'stopped',
      ['abandon'],
    ],
    [
      'backoff elapsed loads',
      backingOff,
      { type: 'backoff-elapsed' },
      'loading',
      ['arm-start-timeout', 'load'],
    ],
    ['a live worker cannot be isolated', running, { type: 'isolate', why: 'x' }, 'running', []],
    [
      'a resting worker is isolated',
      { kind: 'stopped' },
      { type: 'isolate', why: 'x' },
      'quarantined',
      ['disarm-backoff'],
    ],
    [
      'sleep makes a lazy worker dormant, not stopped',
      stopping({ kind: 'sleep' }),
      done,
      'dormant',
      ['disarm-stop-timeout'],
      { lazy: true },
    ],
  ]
  for (const [title, state, event, expected, effects, over] of table) {
    const step = transition(at(state), event, context(over))
    t.equal(step.next.state.kind, expected, title)
    t.same(
      step.effects.map((effect) => effect.type),
      effects,
      `${title}: effects`,
    )
  }
})

t.test('the last wish decides where a stop ends', async (t) => {
  const exit0: WorkerEvent = {
    type: 'charged',
    verdict: 'done',
    text: 'process.exit(0)',
    stop: 'process-exit',
  }
  const byMessage: WorkerEvent = { type: 'start', wake }
  const byHand: WorkerEvent = { type: 'start', wake: manual }
  const rows: [wishes: WorkerEvent[], lazy: string, eager: string][] = [
    [[stop], 'stopped', 'stopped'],
    [[sleep], 'dormant', 'stopped'],
    [[sleep, stop], 'stopped', 'stopped'],
    [[stop, sleep], 'dormant', 'stopped'],
    [[sleep, restart], 'loading', 'loading'],
    [[sleep, byMessage], 'loading', 'loading'],
    [[restart, sleep], 'dormant', 'stopped'],
    [[exit0], 'dormant', 'stopped'],
    [[exit0, stop], 'stopped', 'stopped'],
    [[exit0, byHand], 'loading', 'loading'],
    [[charge], 'backing-off', 'backing-off'],
    [[charge, stop], 'stopped', 'stopped'],
    [[charge, byMessage], 'backing-off', 'backing-off'],
    [[charge, byHand], 'loading', 'loading'],
    [[charge, byHand, stop], 'stopped', 'stopped'],
  ]
  for (const [wishes, lazy, eager] of rows)
    for (const [over, expected] of [
      [{ lazy: true, restart: 'on-failure' as const }, lazy],
      [{ lazy: false, restart: 'on-failure' as const }, eager],
    ] as const) {
      let current = at(running)
      for (const event of [...wishes, { type: 'ended', verdict: 'stopped', text: '' } as const])
        current = transition(current, event, context(over)).next
      const title = wishes.map((w) =>
        w.type === 'start' ? `start by ${w.wake.by}` : ((w as { reason?: string }).reason ?? w.type),
      )
      t.equal(current.state.kind, expected, `${title.join(', ')}: ${over.lazy ? 'lazy' : 'eager'}`)
    }
})

t.test('the limit quarantines, and escalates when critical or exit', async (t) => {
  const ctx = context()
  let current = at(running)
  for (const expected of ['backing-off', 'backing-off', 'quarantined']) {
    const step = transition({ ...current, state: running }, failure, ctx)
    t.equal(step.next.state.kind, expected)
    current = step.next
  }
  const eject = transition(
    at(running),
    { ...failure, needs: 'new-process' } as WorkerEvent,
    context({ onLimit: 'eject', critical: true }),
  )
  t.equal(eject.next.state.kind, 'loading', 'eject: it starts again, elsewhere')
  t.equal(eject.next.history, NO_FAILURES, 'with a clean slate')
  t.same(
    eject.effects.map((effect) => effect.type),
    ['disarm-start-timeout', 'eject', 'arm-start-timeout', 'load'],
    'moved before it is loaded',
  )
  t.equal(
    transition(
      at(running),
      { ...failure, needs: 'new-process' } as WorkerEvent,
      context({ onLimit: 'eject', ejectable: false }),
    ).next.state.kind,
    'quarantined',
    'what is ejected already is quarantined',
  )
  for (const over of [{ critical: true }, { onLimit: 'exit' as const }]) {
    const step = transition(
      at(running),
      failure,
      context({ ...over, limit: { failures: 1, withinMs: 1000 } }),
    )
    t.ok(
      step.effects.some((effect) => effect.type === 'escalate'),
      JSON.stringify(over),
    )
  }
})

t.test(
  'property: from any state any run of events keeps the timers balanced and loads only from rest',
  async () => {
    const anyEvent = fc.oneof(
      fc.constantFrom<WorkerEvent>(
        { type: 'start', wake },
        { type: 'start', wake: manual },
        { type: 'loaded' },
        { type: 'ready' },
        failure,
        done,
        charge,
        stop,
        restart,
        { type: 'start-timeout' },
        { type: 'stop-timeout' },
        { type: 'backoff-elapsed' },
        { type: 'isolate', why: 'x' },
        sleep,
      ),
    )
    fc.assert(
      fc.property(
        fc.array(anyEvent, { maxLength: 80 }),
        fc.boolean(),
        fc.constantFrom('always', 'on-failure', 'never'),
        (events, lazy, policy) => {
          let current = at({ kind: lazy ? 'dormant' : 'stopped' })
          let alive = false // a load was asked for and has neither ended nor been given up
          for (const [i, event] of events.entries()) {
            const before = current.state
            if ((event.type === 'ended' || event.type === 'loaded' || event.type === 'ready') && !alive)
              continue // no run, no report
            const step = transition(
              current,
              event,
              context({ lazy, restart: policy as 'always', now: i * 1000 }),
            )
            if (event.type === 'ended' && isLive(before)) alive = false
            for (const effect of step.effects) {
              if (effect.type === 'abandon') alive = false
              if (effect.type === 'load') {
                if (alive) return false // two runs of one worker at once
                alive = true
              }
            }
            current = step.next
            if (alive !== isLive(current.state)) return false
          }
          return true
        },
      ),
      { numRuns: 2000 },
    )
  },
)
