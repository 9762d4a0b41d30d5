import { getEventListeners } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { systemClock } from '../../src/base/clock.ts'
import { onAbort } from '../../src/bus/abort.ts'
import { createEmbeddedBus } from '../../src/bus/embedded.ts'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** A bus that replies to each `ask`. */
function answeringBus() {
  const bus = createEmbeddedBus({ messageBytes: 1000, buffer: 10, clock: systemClock })
  void (async () => {
    for await (const message of bus.subscribe('ask')) await message.reply!(null)
  })()
  return bus
}

t.test('all callbacks of one signal share one listener, and each is called once', async (t) => {
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

t.test('removing the last callback removes the listener', async (t) => {
  const { signal } = new AbortController()
  const [first, last] = [onAbort(signal, () => t.fail('released')), onAbort(signal, () => t.fail('released'))]
  first()
  t.equal(getEventListeners(signal, 'abort').length, 1)
  last()
  t.equal(getEventListeners(signal, 'abort').length, 0)
  const again = onAbort(signal, () => {})
  last()
  t.equal(getEventListeners(signal, 'abort').length, 1, 'a release does not remove a later callback')
  again()
})

t.test('a callback removed during the abort is not called', async (t) => {
  const abort = new AbortController()
  const called: string[] = []
  const releases: (() => void)[] = []
  releases.push(onAbort(abort.signal, () => (called.push('first'), releases[1]!())))
  releases.push(onAbort(abort.signal, () => called.push('second')))
  onAbort(abort.signal, () => called.push('third'))
  abort.abort()
  t.same(called, ['first', 'third'])
})

t.test('the listener of a request is removed with the request', async (t) => {
  const stop = new AbortController()
  const bus = answeringBus()
  const ask = async (): Promise<WeakRef<AbortSignal>> => {
    const signal = AbortSignal.any([stop.signal, new AbortController().signal])
    await bus.request('ask', 1, { signal })
    return new WeakRef(signal)
  }
  const signals = [await ask(), await ask(), await ask()]
  await new Promise((resolve) => setImmediate(resolve))
  gc()
  t.same(
    signals.map((signal) => signal.deref()),
    [undefined, undefined, undefined],
  )
  await bus.close()
})

t.test('a long-lived signal retains nothing of ended subscriptions and requests', async (t) => {
  const abort = new AbortController()
  const bus = answeringBus()
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
