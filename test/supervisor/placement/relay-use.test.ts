// Back-pressure across the wire: for a guest that does not read its answers nothing more is asked of a resource.
import t from 'tap'
import { systemClock } from '../../../src/base/clock.ts'
import { createEmbeddedBus } from '../../../src/bus/embedded.ts'
import { Relay } from '../../../src/supervisor/placement/relay.ts'
import { Link } from '../../../src/supervisor/placement/wire/link.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('a call waits while the guest lags, in order, and is dropped when the guest is gone', async (t) => {
  let keepsUp = false
  const written: string[] = []
  const asked: unknown[] = []
  let closed = 0
  const link = new Link({ write: (text) => (written.push(text), keepsUp) }, 1e6, {
    onLine: () => {},
    onBroken: (error) => t.fail(error.message),
  })
  const bus = createEmbeddedBus({ messageBytes: 1000, buffer: 10, clock: systemClock })
  const relay = new Relay({
    now: systemClock.monotonic,
    link,
    bus: bus.scoped('w', {}),
    resources: {
      ask: async (question, values) => {
        if (closed > 0) throw new Error('closed')
        asked.push([question, ...values])
        return `[${asked.length}]`
      },
      close: () => void closed++,
    },
    answer: async () => {},
    giveBack: () => {},
  })
  relay.heard(['c', 1, 'use', 'call', 'db', 'count', []])
  await turn()
  await turn()
  t.same(asked, [['call', 'db', 'count', []]])
  t.same(written, ['["r",1,[1]]\n'], 'its answer filled the wire')
  for (const id of [2, 3]) relay.heard(['c', id, 'use', 'call', 'db', 'count', [id]])
  await turn()
  t.equal(asked.length, 1, 'nothing is asked meanwhile')
  for (let id = 1000; id < 1000 + 256; id++) relay.heard(['c', id, 'use', 'call', 'db', 'count', [id]])
  keepsUp = true
  link.flush()
  t.same(
    written
      .splice(1)
      .join('')
      .match(/"x",\d+,.*?"BYRE_RESOURCE_BUSY"/g)?.length,
    2,
    'beyond 256 it is refused: nothing piles up',
  )
  link.drained()
  await turn()
  await turn()
  t.match(written.slice(1).join(''), /^\["r",2,\[2\]\]\n\["r",3,\[3\]\]\n\["r",1000,\[4\]\]\n/)
  keepsUp = false
  relay.heard(['c', 4, 'use', 'call', 'db', 'count', []])
  await turn()
  await turn()
  relay.heard(['c', 5, 'use', 'call', 'db', 'count', []])
  relay.close(false)
  link.close()
  await turn()
  t.equal(asked.length, 258, 'what waited is not asked any more')
  t.equal(closed, 1, 'what it held is released once')
  await bus.close()
})
