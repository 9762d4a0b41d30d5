import fc from 'fast-check'
import t from 'tap'
import { formatHerdStatus, formatNotify, mergeNotify } from '../../src/notify/sd-notify.ts'
import type { NotifyState } from '../../src/notify/sd-notify.ts'

const TABLE: readonly [NotifyState, string][] = [
  [{}, ''],
  [{ ready: true }, 'READY=1'],
  [{ ready: true, status: '17 running' }, 'READY=1\nSTATUS=17 running'],
  [{ reloading: true }, 'RELOADING=1\nMONOTONIC_USEC=123'],
  [{ stopping: true, extendTimeoutMs: 1500 }, 'STOPPING=1\nEXTEND_TIMEOUT_USEC=1500000'],
  [{ extendTimeoutMs: 0 }, 'EXTEND_TIMEOUT_USEC=1000'],
  [{ extendTimeoutMs: 0.2 }, 'EXTEND_TIMEOUT_USEC=1000'],
  [{ watchdog: true }, 'WATCHDOG=1'],
  [{ status: 'a\nREADY=1\r\n\u001b[31mb ' }, 'STATUS=a READY=1 [31mb'],
  [{ status: '' }, 'STATUS='],
]
for (const [state, text] of TABLE)
  t.test(`message of ${JSON.stringify(state)}`, async (t) => t.equal(formatNotify(state, 123n), text))

const states = fc.record<NotifyState>(
  {
    ready: fc.constant(true as const),
    reloading: fc.constant(true as const),
    stopping: fc.constant(true as const),
    watchdog: fc.constant(true as const),
    status: fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.nat(3000).map((n) => 'ü\n'.repeat(n)),
    ),
    extendTimeoutMs: fc.nat(),
  },
  { requiredKeys: [] },
)

t.test('a status never adds an assignment, and a message fits a datagram', async () => {
  fc.assert(
    fc.property(states, (state) => {
      const lines = formatNotify(state, 1n).split('\n')
      const expected = Object.keys(state).length + (state.reloading === true ? 1 : 0)
      return lines.filter(Boolean).length === expected && Buffer.byteLength(lines.join('\n')) < 4096
    }),
    { numRuns: 500 },
  )
})

t.test('when two states merge, the newer fields win, and a newer stop or reload removes ready', async (t) => {
  t.same(mergeNotify({ ready: true, status: 'a' }, { status: 'b' }), { ready: true, status: 'b' })
  t.same(mergeNotify({ ready: true, watchdog: true }, { stopping: true }), { watchdog: true, stopping: true })
  t.same(mergeNotify({ ready: true }, { reloading: true }), { reloading: true })
  t.same(mergeNotify({ reloading: true }, { ready: true }), { reloading: true, ready: true })
  fc.assert(
    fc.property(states, states, (a, b) => {
      const merged = mergeNotify(a, b)
      return Object.entries(b).every(([key, value]) => merged[key as keyof NotifyState] === value)
    }),
  )
})

t.test('the status of a herd is one line', async (t) => {
  t.equal(formatHerdStatus({ running: 17, dormant: 0, quarantined: 1 }), '17 running, 1 quarantined')
  t.equal(formatHerdStatus({ running: 1 }, 'w: x -> y'), '1 running; last: w: x -> y')
  t.equal(formatHerdStatus({}), 'no workers')
})
