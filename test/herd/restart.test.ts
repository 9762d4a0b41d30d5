import fc from 'fast-check'
import t from 'tap'
import type { RestartPolicy } from '../../src/config/types.ts'
import { backoffDelayMs, decideRestart, delaySeries, JITTER, NO_FAILURES } from '../../src/herd/restart.ts'
import type { FailureHistory } from '../../src/herd/restart.ts'

const backoff = { firstMs: 0, baseMs: 1000, factor: 2, maxMs: 60_000, resetAfterMs: 600_000 }
const limit = { failures: 5, withinMs: 300_000 }
const policy = (restart: RestartPolicy) => ({ restart, backoff, limit })
const failed = (at: number, upMs = 0) => ({ failed: true, at, upMs })

t.test('the default series is 0, 1, 2, 4 ... 60 s', async (t) => {
  t.same(delaySeries(backoff, 9), [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
})

t.test('what a policy does with each end', async (t) => {
  const cases: [RestartPolicy, boolean, string][] = [
    ['always', true, 'restart'],
    ['always', false, 'restart'],
    ['on-failure', true, 'restart'],
    ['on-failure', false, 'rest'],
    ['never', true, 'rest'],
    ['never', false, 'rest'],
  ]
  for (const [restart, isFailed, expected] of cases) {
    const decision = decideRestart(
      policy(restart),
      NO_FAILURES,
      { failed: isFailed, at: 0, upMs: 0 },
      () => 0,
    )
    t.equal(decision.kind, expected, `${restart}, failed: ${isFailed}`)
  }
})

t.test('the fifth failure within five minutes takes the limit', async (t) => {
  let history: FailureHistory = NO_FAILURES
  for (const at of [0, 10, 20, 30]) {
    const decision = decideRestart(policy('on-failure'), history, failed(at), () => 0)
    t.equal(decision.kind, 'restart')
    history = decision.history
  }
  t.match(
    decideRestart(policy('on-failure'), history, failed(40), () => 0),
    { kind: 'limit', failures: 5 },
  )
  t.equal(
    decideRestart(policy('on-failure'), history, failed(300_005), () => 0).kind,
    'restart',
    'the first has left the window',
  )
})

t.test('a run that stayed up for resetAfter starts the series again', async (t) => {
  let history: FailureHistory = NO_FAILURES
  for (const at of [0, 1, 2])
    history = decideRestart(policy('on-failure'), history, failed(at), () => 0).history
  t.match(
    decideRestart(policy('on-failure'), history, failed(700_000, 600_000), () => 0),
    { kind: 'restart', delayMs: 0 },
  )
  t.match(
    decideRestart(policy('on-failure'), history, failed(700_000, 599_999), () => 0),
    { kind: 'restart', delayMs: 4000 },
  )
})

t.test('jitter makes a delay up to half as long again, so that those who failed together part', async (t) => {
  for (const [random, delayMs] of [
    [0, 1000],
    [0.5, 1250],
    [0.999, 1499.5],
  ] as const) {
    const history = { stamps: [0], consecutive: 1 }
    const decision = decideRestart(policy('on-failure'), history, failed(1), () => random)
    t.match(decision, { kind: 'restart', delayMs })
  }
})

t.test('a success forgets the failures before it', async (t) => {
  const { history } = decideRestart(policy('on-failure'), NO_FAILURES, failed(0), () => 0)
  t.same(
    decideRestart(policy('on-failure'), history, { failed: false, at: 1, upMs: 0 }, () => 0).history,
    NO_FAILURES,
  )
})

t.test(
  'property: every delay is within [d, d * 1.5) and d never exceeds max, the history never the limit',
  async () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            gap: fc.nat(400_000),
            upMs: fc.nat(1_200_000),
            random: fc.double({ min: 0, max: 0.999999, noNaN: true }),
          }),
          { maxLength: 60 },
        ),
        fc.record({
          firstMs: fc.nat(5000),
          baseMs: fc.integer({ min: 1, max: 10_000 }),
          factor: fc.double({ min: 1, max: 1e6, noNaN: true }),
          maxMs: fc.integer({ min: 10_000, max: 120_000 }),
          resetAfterMs: fc.integer({ min: 1, max: 1_000_000 }),
        }),
        (ends, anyBackoff) => {
          let history: FailureHistory = NO_FAILURES
          let at = 0
          for (const end of ends) {
            at += end.gap
            const input = { restart: 'on-failure' as const, backoff: anyBackoff, limit }
            const decision = decideRestart(input, history, failed(at, end.upMs), () => end.random)
            if (decision.kind === 'restart') {
              const bare = backoffDelayMs(anyBackoff, decision.history.consecutive)
              if (
                decision.delayMs < bare ||
                decision.delayMs > bare * (1 + JITTER) ||
                bare > Math.max(anyBackoff.maxMs, anyBackoff.firstMs)
              )
                return false
            }
            history = decision.kind === 'limit' ? NO_FAILURES : decision.history
            if (history.stamps.length > limit.failures) return false
          }
          return true
        },
      ),
    )
  },
)
