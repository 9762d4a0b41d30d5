import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { onAbort } from '../../src/bus/abort.ts'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'

t.test('everything that waits for one signal shares one listener, and is called once', async (t) => {
  const abort = new AbortController()
  const called: number[] = []
  const releases = Array.from({ length: 20 }, (_, i) => onAbort(abort.signal, () => called.push(i)))
  t.equal(getEventListeners(abort.signal, 'abort').length, 1)
  releases[3]!()
  releases[3]!()
  abort.abort()
  abort.abort()
  t.same(
    called,
    Array.from({ length: 20 }, (_, i) => i).filter((i) => i !== 3),
  )
  t.equal(getEventListeners(abort.signal, 'abort').length, 0)
})

t.test('a signal that lives on holds nothing of what has ended', async (t) => {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  const abort = new AbortController()
  const bus = createEmbeddedBus({ messageBytes: 1000, buffer: 10, clock: systemClock })
  void (async () => {
    for await (const message of bus.subscribe('ask')) await message.reply!(null)
  })()
  const ended = await (async () => {
    const sub = bus.subscribe('x', { signal: abort.signal })
    sub.close()
    const payload = { big: [1] }
    await bus.request('ask', payload, { signal: abort.signal })
    return new WeakRef(sub)
  })()
  await new Promise((resolve) => setImmediate(resolve))
  gc()
  t.equal(ended.deref(), undefined)
  abort.abort()
  await bus.close()
})
