import t from 'tap'
import type { Logger } from '../../src/log/logger.ts'
import type { NotifyState } from '../../src/notify/sd-notify.ts'
import { startWatchdog, watchdogIntervalMs } from '../../src/notify/watchdog.ts'
import { fakeClock } from '../helpers/fake-clock.ts'

const INTERVALS: readonly [Record<string, string>, number | undefined][] = [
  [{}, undefined],
  [{ WATCHDOG_USEC: '30000000' }, 15_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 15_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, undefined],
  [{ WATCHDOG_USEC: '1' }, 10],
  [{ WATCHDOG_USEC: '0' }, undefined],
  [{ WATCHDOG_USEC: '-5' }, undefined],
  [{ WATCHDOG_USEC: '1e9' }, undefined],
  [{ WATCHDOG_USEC: 'x' }, undefined],
  [{ WATCHDOG_USEC: '' }, undefined],
]
for (const [env, ms] of INTERVALS)
  t.test(`watchdog interval of ${JSON.stringify(env)}`, async (t) => t.equal(watchdogIntervalMs(env, 7), ms))

function start(env: Record<string, string | undefined>, isAlive: () => string | undefined) {
  const clock = fakeClock()
  const sent: NotifyState[] = []
  const logged: string[] = []
  const log = (level: string) => (_fields: object, message: string) => void logged.push(`${level} ${message}`)
  const watchdog = startWatchdog({
    env,
    pid: 7,
    clock,
    isAlive,
    notify: { send: (state) => sent.push(state) },
    log: { info: log('info'), error: log('error') } as unknown as Logger,
  })
  return { clock, sent, logged, watchdog }
}

t.test('pings are sent at once and at half the interval, until stop', async (t) => {
  const env: Record<string, string | undefined> = { WATCHDOG_USEC: '2000000', WATCHDOG_PID: '7', OTHER: '1' }
  const { clock, sent, watchdog } = start(env, () => undefined)
  t.same(env, { OTHER: '1' }, 'workers do not inherit the variables')
  t.equal(sent.length, 1)
  clock.advance(999)
  t.equal(sent.length, 1)
  clock.advance(9001)
  t.equal(sent.length, 11)
  t.same(sent[0], { watchdog: true })
  watchdog.stop()
  watchdog.stop()
  clock.advance(10_000)
  t.equal(sent.length, 11)
  t.equal(clock.armed, 0)
})

t.test('without a watchdog no timer is set', async (t) => {
  const { clock, sent, watchdog } = start({}, () => undefined)
  t.equal(watchdog.intervalMs, undefined)
  t.equal(clock.armed + sent.length, 0)
  watchdog.stop()
})

t.test(
  'no ping while a critical worker is down: the reason is logged once; a failing check counts as down',
  async (t) => {
    let reason: string | undefined
    const { clock, sent, logged } = start({ WATCHDOG_USEC: '200000' }, () => {
      if (reason === 'throw') throw new Error('broken check')
      return reason
    })
    reason = 'critical worker w is quarantined'
    clock.advance(1000)
    t.equal(sent.length, 1)
    t.equal(logged.length, 1)
    t.match(logged[0], /^error watchdog pings stopped.*critical worker w is quarantined/)
    reason = undefined
    clock.advance(100)
    t.equal(sent.length, 2)
    t.same(logged.slice(1), ['info watchdog pings resumed'])
    reason = 'throw'
    clock.advance(500)
    t.match(logged[2], /the check itself failed: broken check/)
    t.equal(sent.length, 2)
  },
)
